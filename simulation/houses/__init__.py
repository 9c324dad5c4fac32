"""Houses: floor plans, furniture, objects, textures, and the MuJoCo scene made of them."""
