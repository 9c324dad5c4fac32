"""Makes the helpers in tests/support importable from every test: `from bundles import write_tiny_bundle`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
