"""The emulated server: sockets, requests and replies."""
