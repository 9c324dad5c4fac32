"""REST server: connections, bodies, sessions, the queue of decisions, replies. `ferry serve` starts it."""
