"""Playing a policy: its worlds, LIBERO's tasks, and success on held-out states."""
