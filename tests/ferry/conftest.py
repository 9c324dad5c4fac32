"""Fixtures of the launcher's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from ferry_workspace import Workspace, make_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path)
