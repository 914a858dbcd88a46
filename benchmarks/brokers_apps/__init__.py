"""Who publishes and who receives in the benchmark of brokers, each as its own documentation does it.

A module has two context managers: `publishing(url)` gives a function that publishes a text to a room, and returns
when the library says that it is done; within `receiving(url, rooms, deliver)` there is one member in each of the
rooms, and each text that a member is handed is passed to `deliver`.
"""
