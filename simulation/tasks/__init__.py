"""The tasks: how an episode is drawn, said in words, and judged."""
