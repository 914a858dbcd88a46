"""The wire protocol `rooms.v1`, without sockets, loops or clocks: what a hub and its clients say to each other."""
