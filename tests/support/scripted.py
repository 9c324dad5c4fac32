"""A policy that follows a script, and a body that does as commanded, for tests of the loop and of what records it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from policy_server.decision import Decision
from policy_server.policy import PolicySession
from robots.binding import Binding, bind
from robots.command import Command
from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from robots.fakes.kinematic import FakeOptions, FakeRobot
from robots.observation import Observation
from robots.robot import Sent
from robots.spec import CameraInput, PolicySpec, VectorSpec

HAND = VectorSpec(("in_hand",), ("bool",), (0.0,), (1.0,))
SPEC = PolicySpec(
    cameras=tuple(CameraInput(name, 84, 144, 59.0) for name in ("navigation", "manipulation")),
    state=HAND,
    actions=SPOC_ACTIONS,
    horizon=200,
    control_period_s=0.5,
)


def fast_fake() -> FakeRobot:
    """A FakeRobot whose motions take no time."""
    return FakeRobot(FakeOptions(real_time=False))


def stretch_binding(robot: FakeRobot | None = None) -> Binding:
    """The scripted policy bound to the fake."""
    return bind(SPEC, (robot or fast_fake()).spec)


@dataclass
class ScriptedSession(PolicySession):
    """Answers with `script`, one action name after the other, the last one for ever.

    `before_act` is called with the step's number first, e.g. to let time pass or to raise. `reported` is what was
    reported to it as executed.
    """

    script: Sequence[str]
    valid_for_s: float = 0.5
    before_act: Callable[[int], None] = lambda step: None
    change: Callable[[Decision], Decision] = lambda decision: decision
    reported: list[str | None] = field(default_factory=list)
    binding: Binding = field(default_factory=stretch_binding)
    closed: int = 0

    def act(self, observation: Observation, executed: str | None = None) -> Decision:
        """The next action of the script."""
        step = len(self.reported)
        self.reported.append(executed)
        self.before_act(step)
        action = SPOC_ACTIONS.index(self.script[min(step, len(self.script) - 1)])
        probabilities = np.zeros(len(SPOC_ACTIONS.names), np.float32)
        probabilities[action] = 1.0
        decision = Decision(observation.stamp_ns, step, action, SPOC_ACTIONS.names[action], probabilities)
        return self.change(replace(decision, valid_for_s=self.valid_for_s))

    def close(self) -> None:
        """Counts."""
        self.closed += 1


class WatchedFake(FakeRobot):
    """A FakeRobot that writes down what was called, and may be made to raise."""

    def __init__(self, fails: str = "", error: BaseException | None = None) -> None:
        super().__init__(FakeOptions(real_time=False))
        self.calls: list[str] = []
        self.commands: list[Command] = []
        self.fails, self.error = fails, error or OSError("unplugged")

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call == self.fails:
            raise self.error

    def observe(self) -> Observation:
        """As the fake."""
        self._note("observe")
        return super().observe()

    def execute(self, command: Command) -> Sent:
        """As the fake."""
        self._note("execute")
        self.commands.append(command)
        return super().execute(command)

    def stop(self) -> None:
        """As the fake."""
        super().stop()
        self._note("stop")
