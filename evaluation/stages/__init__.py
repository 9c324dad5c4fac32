"""Where trials happen: the twin, or a real scene with a person who judges."""
