"""Measurements, each a program: `python -m benchmarks.server.serve --help`."""
