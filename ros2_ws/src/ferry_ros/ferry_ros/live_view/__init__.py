"""Live views of a graph: what viewers are sent, and how."""
