"""Where a robot can stand, go and reach: cost maps, rooms and the arm."""
