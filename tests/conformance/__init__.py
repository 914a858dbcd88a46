"""The cases that must hold on every ASGI server: real processes, real sockets, one application."""
