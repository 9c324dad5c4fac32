"""Bundles of ONNX graphs that somebody else exported: a contract written by hand, tried on random observations."""
