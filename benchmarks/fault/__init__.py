"""The parts of `benchmarks/faults.py`: bodies, their processes, what goes wrong with them, and what came of it."""
