"""A bundle that the tests of dialects serve."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def arm_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a bundle of chunks for an arm with two cameras."""
    from foreign_bundles import write_arm_bundle

    path: Path = tmp_path_factory.mktemp("arm")
    write_arm_bundle(path, horizon=3)
    return path
