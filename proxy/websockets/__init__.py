"""WebSockets: the same steps as a request's, and then a turn at a time."""
