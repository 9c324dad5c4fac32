"""The loop of an episode in a simulated house: observe, decide, act, until it is over.

    steps = EpisodeSteps(twin, episode)
    for _ in steps:
        steps.act(decide(twin.observe()))

Demonstrations, recordings, rollouts, the gymnasium environment and the expert's length are all made of it. Whoever
needs no image does not observe.
"""

from __future__ import annotations

from robots.binding import Binding
from robots.command import Command
from robots.previous_action import PreviousActionTokens
from robots.robot import Sent
from simulation.episode import EpisodeLoop, EpisodeSpec
from simulation.task_registry import is_success
from simulation.twins.house_twin import Twin

DONE = "done"
"""The action that ends an episode; it is judged, and not sent to the twin."""


class EpisodeSteps(EpisodeLoop):
    """One episode, decision by decision; the twin is reset to it.

    Args:
        twin: connected.
        episode: its specification.
        binding: makes the twin's commands of a policy's actions; None for the actions of the twin itself.
        max_steps: the episode is cut off after so many decisions; by default the specification's.

    Attributes:
        ended: why the episode is over: "done", or "steps" where it was cut off; empty while it runs.
        collisions: blocked motions.
        tried: the last action, None before the first.
        sent: what became of it, None before the first and after `done`.
    """

    def __init__(
        self, twin: Twin, episode: EpisodeSpec, binding: Binding | None = None, max_steps: int | None = None
    ) -> None:
        super().__init__(episode.max_steps if max_steps is None else max_steps)
        twin.reset(episode)
        self.twin, self.episode, self.binding = twin, episode, binding
        self.collisions = 0
        self.tried: str | None = None
        self.sent: Sent | None = None

    def act(self, action: str) -> None:
        """Makes a decision: executes an action, or judges the task where it is `done`."""
        self.tried, self.sent = action, None
        if action == DONE:
            self._decided("done", is_success(self.twin))
            return
        self.sent = self.twin.execute(self._command(action))
        self.collisions += bool(self.sent.blocked)
        self._decided()

    @property
    def executed(self) -> bool:
        """Whether the last action was executed; `done` always is."""
        return self.sent is None or self.sent.executed

    def previous_action(self, tokens: PreviousActionTokens) -> int:
        """Returns the previous action as the policy of the binding gets it."""
        assert self.binding is not None  # without a policy nobody asks
        return tokens.token(None if self.tried is None else self.binding.actions.index(self.tried), self.executed)

    def _command(self, action: str) -> Command:
        if self.binding is None:
            return self.twin.spec.actions[action]
        return self.binding.command(self.binding.actions.index(action))
