"""Pre-training of the image encoder on what the simulator knows of each cell."""
