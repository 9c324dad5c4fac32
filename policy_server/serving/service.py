"""The server without HTTP: opens sessions on a bundle and answers observations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from policy_server.bundle import PolicyBundle
from policy_server.decision import Decision
from policy_server.errors import PolicyError, SessionError, WireError
from policy_server.images.image_codec import decode_image
from policy_server.onnx_policy import MAX_TOKENS, OnnxPolicy, OnnxSession
from policy_server.policy import Sampling
from policy_server.serving.served_policy import ServedPolicy
from policy_server.serving.sessions import Session, Sessions
from policy_server.wire.messages import ActRequest, check_names, invalid
from robots.binding import Binding
from robots.embodiment import Embodiment
from robots.errors import BindError, SpecError
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
    """Sessions on one policy.

    Args:
        bundle: of the policy.
        options: limits.
        on_rollback: called after a bundle was taken back, with the policy, from the thread of a decision.
    """

    def __init__(
        self,
        bundle: PolicyBundle,
        options: ServiceOptions,
        on_rollback: Callable[[ServedPolicy], None] = lambda policy: None,
    ) -> None:
        self.policy, self.options, self._on_rollback = ServedPolicy(bundle.manifest.name, bundle), options, on_rollback
        self.sessions = Sessions(options.max_sessions, options.session_timeout_s)

    @property
    def bundle(self) -> PolicyBundle:
        """The bundle that new sessions get."""
        return self.policy.bundle

    def open(
        self,
        body: Mapping[str, Any],
        instruction: str,
        sampling: Sampling,
        seed: int,
        bundle: PolicyBundle | None = None,
    ) -> dict[str, Any]:
        """Opens a session; returns its requirements. BindError if the robot does not fit, WireError, SessionError.

        `bundle` is that of an episode that goes on; the present one when not given.
        """
        self.sessions.check_room()
        if len(instruction) > self.options.max_instruction_chars:
            expected = f"at most {self.options.max_instruction_chars} characters"
            raise invalid("instruction", f"{len(instruction)} characters", expected, code="instruction")
        embodiment = self._embodiment(body)
        bundle = bundle or self.policy.bundle
        self.policy.check_not_withdrawn(bundle)
        policy = OnnxPolicy(bundle, self.options.max_instruction_tokens)
        with self._judged(bundle):
            episode = policy.open(embodiment, instruction, sampling=sampling, seed=seed)
        session = self.sessions.open(episode)
        try:
            self.policy.check_not_withdrawn(bundle)  # it may have been taken back meanwhile
        except SessionError:
            self.sessions.close(session.id)
            raise
        return {
            "session_id": session.id,
            "bundle_sha256": bundle.sha256,
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
            with self._judged(episode.bundle):
                decision = episode.act(observation, request.executed)
            if episode.sampling != "uniform":  # the baseline runs no graph
                self._count(episode.bundle, decision)
            return replace(decision, timing_s={"decode": decoded - started, **decision.timing_s})
        finally:
            self.sessions.give_back(session)

    def admit(self, folder: Path, *, other_spec: bool = False) -> PolicyBundle:
        """Returns the bundle in `folder`, loaded, warm and tried; changes nothing. Takes seconds.

        Raises:
            BundleError: it is broken, or its probes are answered otherwise.
            SessionError: 409 "other_spec", it takes or gives something else and `other_spec` is not set;
                "bundles_in_use", too many are in memory.
            ContractError: it does not fit the clients of the dialect.
        """
        self.policy.check_room()
        threads = self.bundle.policy.get_session_options().intra_op_num_threads
        bundle = PolicyBundle.load(folder, threads=threads)
        if not other_spec and bundle.manifest.spec != self.bundle.manifest.spec:
            got = f"bundle '{bundle.manifest.name}', which takes or gives something else"
            expected = f"the spec of '{self.policy.name}'; --other-spec serves it all the same"
            raise SessionError(f"swap: got {got}, expected {expected}", code="other_spec", status=409)
        for admission in self.policy.admissions:
            admission(bundle)
        bundle.warm_up()
        return bundle

    @contextmanager
    def _judged(self, bundle: PolicyBundle) -> Iterator[None]:
        """Takes `bundle` back at its own fault, if it is on trial; a client's mistakes are none."""
        try:
            yield
        except (WireError, SessionError, BindError):
            raise
        except Exception as error:
            known = f"{error.code}: {error}" if isinstance(error, PolicyError) else type(error).__name__
            self._roll_back(bundle, known)
            raise

    def _count(self, bundle: PolicyBundle, decision: Decision) -> None:
        if failed := self.policy.answered(bundle, decision.timing_s["inference"]):
            self._roll_back(bundle, failed)

    def _roll_back(self, bundle: PolicyBundle, reason: str) -> None:
        if self.policy.roll_back(bundle, reason):
            self.sessions.withdraw(bundle)
            self._on_rollback(self.policy)

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
