"""A bundle as a policy: `open` binds it to a body and starts an episode, which answers one observation at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from policy_server.bundle import Feed, PolicyBundle
from policy_server.decision import Decision
from policy_server.errors import NotFinite, SessionError
from policy_server.sampling import Sampling, choose
from policy_server.wire import check_names, invalid
from robots.binding import Binding, bind
from robots.embodiment import Embodiment
from robots.errors import SpecError
from robots.observation import Observation
from robots.spec import DiscreteActions, F32Vector, U8Image

MAX_TOKENS = 64


@dataclass(frozen=True)
class OnnxPolicy:
    """A policy that runs in this process, without a server."""

    bundle: PolicyBundle
    max_tokens: int = MAX_TOKENS

    def open(self, body: Embodiment, instruction: str, *, sampling: Sampling = "greedy", seed: int = 0) -> OnnxEpisode:
        """Starts an episode on `body`; BindError when the two do not fit, WireError for a bad instruction."""
        binding = bind(self.bundle.manifest.spec, body)
        features = self.bundle.text_features(instruction, self.max_tokens)
        return OnnxEpisode(self.bundle, binding, features, sampling, np.random.default_rng(seed))


@dataclass
class OnnxEpisode:
    """One episode: the recurrent state of the policy and what it did last."""

    bundle: PolicyBundle
    binding: Binding
    text_features: npt.NDArray[np.float32]
    sampling: Sampling
    random: np.random.Generator
    step: int = 0
    tried: int = 0
    recurrent: Feed = field(init=False)

    def __post_init__(self) -> None:
        self.recurrent = self.bundle.initial_state()

    @property
    def actions(self) -> DiscreteActions:
        """The policy's actions in logit order."""
        actions = self.binding.policy.actions
        assert isinstance(actions, DiscreteActions)  # a bundle with chunks is refused when it is loaded
        return actions

    def act(self, observation: Observation, executed: str | None = None) -> Decision:
        """Decides what to do next.

        `executed` names the action that was executed since the last decision, None when none was; it means nothing at
        the first step. A call that raises leaves the episode as it was: WireError for an observation that does not
        fit, SessionError past the horizon, NotFinite when the network answers with NaN or infinity.
        """
        started = time.perf_counter()
        horizon = self.binding.policy.horizon
        if self.step >= horizon:
            message = f"session: got decision {self.step + 1}, expected at most {horizon} in an episode"
            raise SessionError(message, code="horizon_exceeded", status=410, details={"horizon": horizon})
        previous = self._previous_action(executed)
        images, state = self._inputs(observation)
        prepared = time.perf_counter()
        logits, recurrent = self._logits(images, state, previous)
        inferred = time.perf_counter()
        action, probabilities = choose(logits, self.sampling, self.random)
        decision = Decision(
            stamp_ns=observation.stamp_ns,
            step=self.step,
            action=action,
            name=self.actions.names[action],
            probabilities=probabilities,
            valid_for_s=self.binding.policy.control_period_s,
            timing_s={
                "preprocess": prepared - started,
                "inference": inferred - prepared,
                "total": time.perf_counter() - started,
            },
        )
        self.recurrent, self.tried, self.step = recurrent, action, self.step + 1
        return decision

    def close(self) -> None:
        """Forgets the recurrent state."""
        self.recurrent = {}

    def _previous_action(self, executed: str | None) -> int:
        tokens = self.bundle.manifest.previous_action
        if self.step == 0:
            return tokens.start
        if executed is None:
            return self.tried if tokens.blocked is None else tokens.blocked
        if executed not in self.actions.names:
            raise invalid("executed", repr(executed)[:60], f"null or one of {', '.join(self.actions.names)}")
        return self.actions.index(executed)

    def _inputs(self, observation: Observation) -> tuple[dict[str, U8Image], F32Vector]:
        groups = {group for group, _ in self.binding.state_sources}
        check_names("observation state", observation.state, required=groups, optional=set(observation.state))
        try:
            return self.binding.images(observation), self.binding.state(observation)
        except SpecError as error:
            code = "state" if "state" in error.what else "image_size"
            raise invalid(error.what, error.got, error.expected, code=code) from error

    def _logits(self, images: dict[str, U8Image], state: F32Vector, previous: int) -> tuple[F32Vector, Feed]:
        if self.sampling == "uniform":  # the baseline needs no network
            return self.binding.masked(np.zeros(len(self.actions.names), np.float32)), self.recurrent
        logits, recurrent = self.bundle.run(images, self.text_features, state, previous, self.step, self.recurrent)
        try:
            return self.binding.masked(logits), recurrent
        except SpecError as error:
            raise NotFinite(f"{error} at step {self.step}", details={"step": self.step}) from error
