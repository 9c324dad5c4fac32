"""How a policy is made: networks, behaviour cloning of an expert, and export to a policy bundle."""
