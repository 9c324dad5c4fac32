"""The arms of benchmarks/arms/chunk_joins.py, and what is measured of them."""
