"""Navigation in a house: cost maps, goals, rooms, visibility and the arm's reach."""
