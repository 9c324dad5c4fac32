"""The messages of other projects (openpi, RoboArena, OpenVLA, GR00T), and contracts that say what is in them."""
