"""Embodiment: the table that describes a robot. Data, not code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from robots.command import Command, command_from_json, command_to_json
from robots.errors import SpecError
from robots.spec import CameraSpec, F32Vector, VectorSpec, vector_from_json

NEEDED = "name, cameras, state, actions and joints"
"""Fields that every embodiment has, in words."""


@dataclass(frozen=True)
class JointLimits:
    """Range [m] or [rad], top speed [m/s] or [rad/s] and longest single step [m] or [rad] of one joint (None: any)."""

    low: float
    high: float
    max_speed: float
    max_step: float | None = None


@dataclass(frozen=True)
class BaseLimits:
    """Top speeds, decelerations and the longest single step of a mobile base."""

    max_speed_mps: float
    max_turn_radps: float
    max_decel_mps2: float
    max_turn_decel_radps2: float
    max_step_m: float
    max_step_rad: float


@dataclass(frozen=True)
class Workspace:
    """The box, in the base frame, that the point between the fingertips must stay in: (x, y, z) [m]."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]


@dataclass(frozen=True)
class Embodiment:
    """Description of a robot.

    Attributes:
        name: e.g. "stretch_re1".
        cameras: its cameras.
        state: groups of named numbers it reports, e.g. {"joints": ..., "hand": ...}; no name is in two groups.
        actions: policy action name -> the command this robot executes for it.
        masked: policy action names that this robot cannot execute; they are never chosen. A name that is neither here
            nor in `actions` does not bind, so that a misspelt one is not masked silently.
        joints: limits by joint name.
        base: limits of the base, None for a fixed arm.
        chunks: the vectors of the continuous actions this robot takes; none where it takes only discrete ones. Their
            bounds are those of one row.
        workspace: limits of its fingertips; None where only the joints are limited.
        camera_views: policy camera name -> this robot's camera name, where they differ.
        stop: effect of `stop()` on each part, in words.
    """

    name: str
    cameras: tuple[CameraSpec, ...]
    state: Mapping[str, VectorSpec]
    actions: Mapping[str, Command]
    joints: Mapping[str, JointLimits]
    base: BaseLimits | None = None
    chunks: tuple[VectorSpec, ...] = ()
    workspace: Workspace | None = None
    masked: tuple[str, ...] = ()
    camera_views: Mapping[str, str] = field(default_factory=dict)
    stop: Mapping[str, str] = field(default_factory=dict)

    def named(self, state: Mapping[str, F32Vector]) -> dict[str, float]:
        """Every number of `state` (group -> vector in the spec's order) by its name; joints among them [m] or [rad]."""
        return {
            name: value
            for group, vector in state.items()
            for name, value in zip(self.state[group].names, vector.tolist())
        }

    def with_cameras(self, *cameras: CameraSpec) -> Embodiment:
        """Copy with other cameras (a twin renders at its own size)."""
        return replace(self, cameras=cameras)

    def without(self, *actions: str) -> Embodiment:
        """Copy with some actions masked."""
        kept = {name: command for name, command in self.actions.items() if name not in actions}
        return replace(self, actions=kept, masked=(*self.masked, *actions))

    def slowed(self, fraction: float) -> Embodiment:
        """Copy with a fraction (0, 1] of its top speeds and the same decelerations. SpecError for another fraction."""
        if not 0.0 < fraction <= 1.0:
            raise SpecError(f"speed of {self.name}", fraction, "a fraction in (0, 1]")
        joints = {name: replace(joint, max_speed=fraction * joint.max_speed) for name, joint in self.joints.items()}
        base = self.base and replace(
            self.base,
            max_speed_mps=fraction * self.base.max_speed_mps,
            max_turn_radps=fraction * self.base.max_turn_radps,
        )
        return replace(self, joints=joints, base=base)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives back an equal embodiment."""
        return {**asdict(self), "actions": {name: command_to_json(c) for name, c in self.actions.items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Embodiment:
        """Inverse of `to_json`; SpecError names what is missing or wrong."""
        try:
            return cls(
                name=data["name"],
                cameras=tuple(CameraSpec(**camera) for camera in data["cameras"]),
                state={group: vector_from_json(spec) for group, spec in data["state"].items()},
                actions={name: command_from_json(command) for name, command in data["actions"].items()},
                joints={name: JointLimits(**limits) for name, limits in data["joints"].items()},
                base=BaseLimits(**data["base"]) if data.get("base") else None,
                chunks=tuple(vector_from_json(vector) for vector in data.get("chunks", ())),
                workspace=_workspace_from_json(data.get("workspace")),
                masked=tuple(data.get("masked", ())),
                camera_views=dict(data.get("camera_views", {})),
                stop=dict(data.get("stop", {})),
            )
        except KeyError as error:
            raise SpecError("embodiment", f"no {error}", f"the fields {NEEDED}") from error
        except (TypeError, AttributeError) as error:
            raise SpecError("embodiment", error, f"the fields {NEEDED}, as `to_json` writes them") from error


def _workspace_from_json(data: Mapping[str, Any] | None) -> Workspace | None:
    return Workspace(tuple(data["low"]), tuple(data["high"])) if data else None
