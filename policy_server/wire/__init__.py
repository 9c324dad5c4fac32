"""Messages between client and server, and requests with a deadline."""
