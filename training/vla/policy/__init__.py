"""The network of action tokens, its sizes, and its checkpoints."""
