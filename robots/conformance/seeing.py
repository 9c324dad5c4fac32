"""Checks of observations."""

from __future__ import annotations

import time

from robots.conformance.steps import base_of
from robots.conformance.subject import Subject
from robots.conformance.verdict import Failed, expect
from robots.errors import SpecError

LOOKS = 5


def an_observation_fits_the_spec(subject: Subject) -> None:
    """Each camera and state group of the spec is observed, in its shape, dtype and bounds, and no other."""
    seen, spec = subject.observe(), subject.spec
    cameras = {camera.name for camera in spec.cameras}
    expect(set(seen.images) == cameras, "cameras observed", sorted(seen.images), sorted(cameras))
    expect(set(seen.state) == set(spec.state), "state groups observed", sorted(seen.state), sorted(spec.state))
    try:
        for camera in spec.cameras:
            camera.check(seen.images[camera.name])
        for group, vector in spec.state.items():
            vector.check(seen.state[group], f"state '{group}'")
    except SpecError as error:
        raise Failed(error.what, error.got, error.expected) from error
    dtypes = {group: str(vector.dtype) for group, vector in seen.state.items()}
    expect(set(dtypes.values()) <= {"float32"}, "dtype of the state", dtypes, "float32")


def stamps_increase(subject: Subject) -> None:
    """Stamps strictly increase, on the monotonic clock, and are those of the sensing: not old and not of the future."""
    last = -1
    for _ in range(LOOKS):
        stamp = subject.observe().stamp_ns
        now = time.monotonic_ns()
        expect(stamp > last, "stamp_ns of the next observation", stamp, f"one after {last}")
        age_s = (now - stamp) / 1e9
        expect(
            0 <= age_s <= subject.options.observe_s,
            "age of an observation",
            f"{age_s:.3f} s on the monotonic clock",
            f"0 to {subject.options.observe_s} s",
        )
        last = stamp


def the_state_tells_every_joint(subject: Subject) -> None:
    """Every joint with limits in the spec is in the state, so that its limits can be enforced."""
    missing = sorted(set(subject.spec.joints) - set(subject.place().joints))
    expect(not missing, "joints without a place in the state", missing, "none")


def a_base_tells_its_pose(subject: Subject) -> None:
    """A robot with a base has `pose` (x [m], y [m], yaw [rad]) from its odometry."""
    base_of(subject)
    pose = subject.pose()
    expect(pose is not None, "pose", pose, "(x, y, yaw)")
