"""The arms of benchmarks/chunk_joins.py, and what is measured of them."""
