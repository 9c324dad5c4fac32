"""JSON in messages, which anybody in the ROS domain may have written."""

from __future__ import annotations

import json
from typing import Any


def read_json(text: str) -> Any:
    """Inverse of `json.dumps`; ValueError for whatever is no JSON, also where it is nested too deeply for Python."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(f"nested too deeply: {text[:20]} ...") from error
