"""Makes `python -m ferry VERB` the same as `ferry VERB`."""

from __future__ import annotations

from ferry.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
