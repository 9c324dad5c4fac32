"""The simulator's expert as a policy: the upper bound in a report's table."""

from __future__ import annotations

from policy_server.decision import Decision
from policy_server.policy import Policy, PolicyInfo, PolicySession, Sampling
from robots.binding import Binding, bind
from robots.embodiment import Embodiment
from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from robots.observation import Observation
from robots.spec import EMPTY_VECTOR, PolicySpec
from simulation.task_registry import task
from simulation.twins.house_twin import Twin

EXPERT_SPEC = PolicySpec((), EMPTY_VECTOR, SPOC_ACTIONS, horizon=100_000, control_period_s=60.0)
"""Its inputs (none) and outputs. Without a real deadline: it is no policy for a robot."""


class ExpertPolicy(Policy):
    """The expert of one twin; it reads the simulator's ground truth."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    def describe(self) -> PolicyInfo:
        """Returns its spec; it has no bundle."""
        return PolicyInfo("expert", EXPERT_SPEC)

    def open(
        self, embodiment: Embodiment, instruction: str, /, *, sampling: Sampling = "greedy", seed: int = 0
    ) -> ExpertSession:
        """Starts the episode that the twin was reset to; its instruction, sampling and seed are the twin's."""
        return ExpertSession(self._twin, bind(EXPERT_SPEC, embodiment))


class ExpertSession(PolicySession):
    """The expert of the task that the twin was reset to."""

    def __init__(self, twin: Twin, binding: Binding) -> None:
        self._expert, self.binding, self._step = task(twin.episode.task).expert(twin), binding, 0

    def act(self, observation: Observation, executed: str | None = None) -> Decision:
        """Returns the expert's action in the twin's true state."""
        name = self._expert.action()
        valid_s = EXPERT_SPEC.control_period_s
        decision = Decision(observation.stamp_ns, self._step, SPOC_ACTIONS.index(name), name, valid_for_s=valid_s)
        self._step += 1
        return decision
