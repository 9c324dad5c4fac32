"""The bundles in policies/: whole, small enough for git, measured, and without a trace of where they were made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policy_server.bundle import PolicyBundle
from robots.binding import bind
from robots.embodiments.locobot import LOCOBOT
from robots.embodiments.stretch_re1 import STRETCH_RE1

POLICIES = Path(__file__).parents[2] / "policies"
BODIES = {
    "objectnav_stretch_mini": STRETCH_RE1,
    "objectnav_stretch_mini_cloned": STRETCH_RE1,
    "objectnav_locobot_mini": LOCOBOT,
}
ACTIONS = {STRETCH_RE1.name: 20, LOCOBOT.name: 10}
LARGEST_BYTES = 8_000_000
PRIVATE_PATH = re.compile(rb"/(work|home|root|tmp|Users)/[\w./-]{3,}")


def test_every_shipped_bundle_is_known_here() -> None:
    assert {folder.name for folder in POLICIES.iterdir()} == BODIES.keys()


@pytest.mark.parametrize("name", BODIES)
def test_it_loads_fits_its_body_and_says_how_good_it_is_there(name: str) -> None:
    manifest = PolicyBundle.load(POLICIES / name, threads=1).manifest
    body = BODIES[name]
    assert manifest.name == name
    assert bind(manifest.spec, body).mask.sum() == ACTIONS[body.name]
    measured = [one for one in manifest.provenance.simulated if one.body == body.name and one.split == "test"]
    assert measured, f"{name} was not measured on {body.name}"
    assert all(0.0 <= one.low <= one.success <= one.high <= 1.0 and one.episodes >= 100 for one in measured)


@pytest.mark.parametrize("name", BODIES)
def test_it_is_small_enough_for_git_and_names_no_private_path(name: str) -> None:
    files = list((POLICIES / name).iterdir())
    assert sum(file.stat().st_size for file in files) <= LARGEST_BYTES
    for file in files:
        assert not PRIVATE_PATH.findall(file.read_bytes()), file.name
