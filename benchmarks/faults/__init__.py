"""What a robot does when something fails: bodies, their processes, what goes wrong with them, and what came of it."""
