"""Ferry's command line, launcher and self-check; the work itself is done in the rooms beside this package."""

from __future__ import annotations

__version__ = "0.1.0"
