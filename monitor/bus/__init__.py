"""The ZeroMQ sockets of a monitor."""
