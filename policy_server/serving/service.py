"""The server without HTTP: opens sessions on a bundle and answers observations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from policy_server.bundle import PolicyBundle
from policy_server.decision import Decision
from policy_server.errors import SessionError
from policy_server.images.image_codec import decode_image
from policy_server.onnx_policy import MAX_TOKENS, OnnxPolicy, OnnxSession
from policy_server.policy import Sampling
from policy_server.serving.sessions import Session, Sessions
from policy_server.wire.messages import ActRequest, check_names, invalid
from robots.binding import Binding
from robots.embodiment import Embodiment
from robots.errors import SpecError
from robots.observation import Observation
from robots.spec import CameraSpec, U8Image, VectorSpec

MAX_SIDE = 8192  # pixels; bounds the resizing weights of `robots.view`


@dataclass(frozen=True)
class ServiceOptions:
    """Limits of a server."""

    max_sessions: int = 16
    session_timeout_s: float = 600.0
    max_body_bytes: int = 16 * 2**20  # two raw 1280x720 images are 5.3 MiB
    max_image_pixels: int = 4_000_000
    max_instruction_chars: int = 512
    max_instruction_tokens: int = MAX_TOKENS
    workers: int = 2
    """Number of decisions computed in parallel."""
    token: str = ""
    """Bearer token that clients must send; empty for none."""


class Service:
    """Sessions on one bundle."""

    def __init__(self, bundle: PolicyBundle, options: ServiceOptions) -> None:
        self.bundle, self.options = bundle, options
        self.sessions = Sessions(options.max_sessions, options.session_timeout_s)
        self._policy = OnnxPolicy(bundle, options.max_instruction_tokens)

    def open(self, body: Mapping[str, Any], instruction: str, sampling: Sampling, seed: int) -> dict[str, Any]:
        """Opens a session; returns its requirements. BindError if the robot does not fit, WireError, SessionError."""
        self.sessions.check_room()
        if len(instruction) > self.options.max_instruction_chars:
            expected = f"at most {self.options.max_instruction_chars} characters"
            raise invalid("instruction", f"{len(instruction)} characters", expected, code="instruction")
        embodiment = self._embodiment(body)
        episode = self._policy.open(embodiment, instruction, sampling=sampling, seed=seed)
        session = self.sessions.open(episode)
        return {
            "session_id": session.id,
            "bundle_sha256": self.bundle.sha256,
            "horizon": episode.binding.policy.horizon,
            "control_period_s": episode.binding.policy.control_period_s,
            "execute_rows": episode.execute_rows,
            "expires_after_s": self.options.session_timeout_s,
            "cameras": {each.name: {"height": each.height, "width": each.width} for each in _cameras(episode.binding)},
            "state": {group: list(spec.names) for group, spec in _groups(episode.binding).items()},
            "actions": list(episode.names),
            "masked": [
                name for name, has in zip(episode.names, episode.binding.mask) if not has
            ],  # empty for a chunk policy
        }

    def act(self, session: Session, request: ActRequest) -> Decision:
        """Returns the decision for one observation; releases the session."""
        return self.answer(session, lambda: request)

    def answer(self, session: Session, read: Callable[[], ActRequest]) -> Decision:
        """Returns the decision for the request from `read`, timed with its decoding; releases the session."""
        try:
            started = time.perf_counter()
            request, episode = read(), session.episode
            _check_turn(episode, request)
            observation = self._observation(episode.binding, request)
            decoded = time.perf_counter()
            decision = episode.act(observation, request.executed)
            return replace(decision, timing_s={"decode": decoded - started, **decision.timing_s})
        finally:
            self.sessions.give_back(session)

    def _observation(self, binding: Binding, request: ActRequest) -> Observation:
        cameras = {camera.name: camera for camera in _cameras(binding)}
        check_names("images", request.images, required=set(cameras))
        groups = _groups(binding)
        check_names("state", request.state, required=set(groups))
        for group, spec in groups.items():
            try:
                spec.check(request.state[group], f"state '{group}'")
            except SpecError as error:
                raise invalid(error.what, error.got, error.expected, code="state") from error
        images = {name: _image(camera, request.images[name]) for name, camera in cameras.items()}
        return Observation(request.stamp_ns, images, request.state)

    def _embodiment(self, data: Mapping[str, Any]) -> Embodiment:
        try:
            body = Embodiment.from_json(data)
            for camera in body.cameras:
                self._check_camera(camera)
            for group, spec in body.state.items():
                _check_numbers(group, spec)
        except SpecError as error:
            raise invalid(error.what, error.got, error.expected, code="embodiment") from error
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise invalid("embodiment", f"{error}"[:200], "the fields of Embodiment", code="embodiment") from error
        return body

    def _check_camera(self, camera: CameraSpec) -> None:
        sides, most = (camera.height, camera.width), self.options.max_image_pixels
        whole = all(isinstance(side, int) and side <= MAX_SIDE for side in sides)
        if not whole or camera.height * camera.width > most or not isinstance(camera.name, str):
            raise SpecError(f"camera '{camera.name}' size", sides, f"sides up to {MAX_SIDE}, {most} pixels at most")


def _check_turn(episode: OnnxSession, request: ActRequest) -> None:
    step = episode.step
    if request.step is not None and request.step != step:
        details = {"got": request.step, "expected": step}
        message = f"step: got {request.step}, expected {step}"
        raise SessionError(message, code="wrong_step", status=409, details=details)
    if step > 0 and not request.reported and episode.bundle.manifest.previous_action:
        raise invalid("executed", f"nothing at step {step}", "an action name or null", code="missing_field")
    if step == 0 and request.executed is not None:
        raise invalid("executed", f"'{request.executed[:60]}' at the first step", "null or nothing")


def _cameras(binding: Binding) -> list[CameraSpec]:
    needed = {name for name, _ in binding.views.values()}
    return [camera for camera in binding.body.cameras if camera.name in needed]


def _groups(binding: Binding) -> dict[str, VectorSpec]:
    return {group: binding.body.state[group] for group, _ in binding.state_sources}


def _image(camera: CameraSpec, image: npt.NDArray[Any] | bytes) -> U8Image:
    if isinstance(image, bytes):
        return decode_image(camera.name, image, (camera.height, camera.width))
    try:
        camera.check(image)
    except SpecError as error:
        raise invalid(error.what, error.got, error.expected, code="image_size", camera=camera.name) from error
    return image


def _check_numbers(group: str, spec: VectorSpec) -> None:
    for name, low, high in zip(spec.names, spec.low, spec.high, strict=True):
        if not (isinstance(name, str) and isinstance(low, (int, float)) and isinstance(high, (int, float))):
            raise SpecError(f"state '{group}'", (name, low, high), "a name and two numbers")
