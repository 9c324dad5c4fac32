"""Pre-training of the image encoder on the simulator's labels of each cell."""
