"""Speed of the trainings, and comparisons of what they make."""
