"""Bundles as training sees them: their weights back in the network, and their parity with torch."""
