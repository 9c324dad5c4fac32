"""Speed of the simulation, and success of its experts."""
