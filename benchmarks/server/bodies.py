"""A robot that fits a bundle, and what it sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from policy_server.manifest import PolicyManifest
from robots.embodiment import Embodiment
from robots.embodiments.stretch_re1 import STRETCH_RE1
from robots.observation import Observation
from robots.spec import CameraSpec, ContinuousActions, U8Image


def body_for(manifest: PolicyManifest) -> Embodiment:
    """A Stretch RE1 with the policy's cameras for named actions; for chunks a body of the policy's own vectors."""
    spec = manifest.spec
    if not isinstance(spec.actions, ContinuousActions):
        sizes = {one.name: (one.height, one.width) for one in spec.cameras}
        cameras = [one for one in STRETCH_RE1.cameras if one.name in sizes]
        cut = [replace(one, height=sizes[one.name][0], width=sizes[one.name][1]) for one in cameras]
        return STRETCH_RE1.with_cameras(*cut)
    seen = tuple(CameraSpec(one.name, one.height, one.width, one.vertical_fov_deg) for one in spec.cameras)
    state = {"state": spec.state} if len(spec.state) else {}
    return Embodiment("benchmark", seen, state, {}, {}, chunks=(spec.actions.vector,))


def observation_for(body: Embodiment, seed: int = 0) -> Observation:
    """Coarse random images, and the lowest state."""
    random = np.random.default_rng(seed)

    def image(height: int, width: int) -> U8Image:
        coarse = random.integers(0, 256, (height // 12 + 1, width // 12 + 1, 3), dtype=np.uint8)
        return np.ascontiguousarray(coarse.repeat(12, 0).repeat(12, 1)[:height, :width])

    images = {camera.name: image(camera.height, camera.width) for camera in body.cameras}
    state = {group: np.array(spec.low, np.float32) for group, spec in body.state.items()}
    return Observation(0, images, state)
