"""Ferry's command line, launcher and self-check; the packages beside this one do the work."""

from __future__ import annotations

__version__ = "0.1.0"
