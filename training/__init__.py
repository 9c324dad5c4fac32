"""Training of policies: networks, imitation and reinforcement learning, and export to a policy bundle."""
