"""The emergency stop from a keyboard: which robots hear it, and what it tells of them."""
