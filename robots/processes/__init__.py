"""What every process needs that moves, serves or records: its output, signals, locks and children."""
