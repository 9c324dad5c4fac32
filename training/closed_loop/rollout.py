"""Many episodes at once in one process: several twins, one batched policy with a memory per twin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from robots.binding import Binding, bind
from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from robots.spec import F32Vector
from simulation.episode import EpisodeSpec
from simulation.task_registry import Expert, is_success, task
from simulation.twins.house_twin import Twin, TwinOptions
from simulation.twins.registry import make_twin
from training.data.demonstration import Demonstration
from training.data.recording import Shown, previous_token, shown
from training.models.config import START
from training.models.spoc import SpocPolicy, Text
from training.models.tokenizer import encode, tokenizer_for

MAX_WORDS = 32
"""Tokens of the longest instruction, RoomVisit's."""

SHORT_WORDS = 16
"""Instructions are padded to this many tokens while none that is being followed is longer."""


class Memory:
    """Key-value caches of N episodes of different lengths.

    Keys carry no position, so the caches lie in one block and a mask says which places are taken.
    """

    def __init__(self, policy: SpocPolicy, slots: int, capacity: int) -> None:
        layers, heads, size = policy.heads
        self.policy = policy
        self.keys, self.values = (torch.zeros(layers, slots, heads, capacity, size) for _ in range(2))
        self.lengths = torch.zeros(slots, dtype=torch.int64)

    def forget(self, slot: int) -> None:
        """Starts a new episode in a slot."""
        self.lengths[slot] = 0

    def step(self, slots: Tensor, tokens: Tensor, text: Text, previous: Tensor, state: Tensor) -> Tensor:
        """One step of the episodes in `slots` (n,): logits (n, A)."""
        lengths = self.lengths[slots]
        longest = int(lengths.max())
        taken = torch.arange(longest)[None] < lengths[:, None]
        mask = torch.cat([taken, torch.ones(len(slots), 1, dtype=torch.bool)], dim=1)[:, None, None]
        keys, values = self.keys[:, slots, :, :longest], self.values[:, slots, :, :longest]
        logits, keys, values = self.policy.step(tokens, text, previous, state, lengths, keys, values, mask)
        self.keys[:, slots, :, lengths] = keys[:, :, :, -1].transpose(0, 1)
        self.values[:, slots, :, lengths] = values[:, :, :, -1].transpose(0, 1)
        self.lengths[slots] += 1
        return logits


@dataclass
class Slot:
    """One twin and the episode it plays.

    `ended` says why the episode is over: "done", or "steps" when it took too many.
    """

    twin: Twin
    expert: Expert
    seen: Demonstration
    rng: np.random.Generator
    previous: int = START
    steps: int = 0
    ended: str = ""
    ignored: int = 0
    now: Shown | None = None
    actions: list[str] = field(default_factory=list)


Decide = Callable[[Slot, F32Vector], str]
"""Chooses the action to execute from masked logits; it may ask the slot's expert."""


class Rollout:
    """Plays episodes with `slots` twins of a body and one policy."""

    def __init__(
        self, policy: SpocPolicy, slots: int, options: TwinOptions, max_steps: int, body: str = "stretch_re1"
    ) -> None:
        self.policy, self.max_steps = policy.eval(), max_steps
        self.twins = [make_twin(body, options) for _ in range(slots)]
        self.binding: Binding = bind(policy.config.spec(), self.twins[0].spec)
        self.memory = Memory(policy, slots, max_steps)
        self.tokenizer = tokenizer_for(policy.config.text)
        self.words = torch.zeros(slots, MAX_WORDS, dtype=torch.int64)
        self.present = torch.zeros(slots, MAX_WORDS, dtype=torch.bool)
        for twin in self.twins:
            twin.connect()

    def close(self) -> None:
        """Frees the twins."""
        for twin in self.twins:
            twin.disconnect()

    def run(self, episodes: Iterable[EpisodeSpec], decide: Decide, keep: bool = False) -> Iterator[Slot]:
        """Yields each episode's slot when it has ended; read it before the next. `keep` keeps the features."""
        waiting = iter(episodes)
        active: dict[int, Slot] = {}
        for number in range(len(self.twins)):
            self._fill(active, number, waiting)
        while active:
            numbers = list(active)
            for slot, tokens, logits in zip(active.values(), *self._logits(active)):
                if keep:
                    slot.seen.features.append(tokens)
                self._act(slot, decide(slot, self.binding.masked(logits)))
            for number in numbers:
                if active[number].ended:
                    yield active.pop(number)
                    self._fill(active, number, waiting)

    def _fill(self, active: dict[int, Slot], number: int, waiting: Iterator[EpisodeSpec]) -> None:
        episode = next(waiting, None)
        if episode is None:
            return
        twin = self.twins[number]
        twin.reset(episode)
        self.memory.forget(number)
        ids, _ = encode(self.tokenizer, [episode.instruction])
        self.words[number], self.present[number] = 0, False
        self.words[number, : ids.shape[1]], self.present[number, : ids.shape[1]] = ids[0], True
        rng = np.random.default_rng([episode.house_seed, episode.seed, 2])
        active[number] = Slot(twin, task(episode.task).expert(twin), Demonstration(episode), rng)

    def _logits(self, active: dict[int, Slot]) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float32]]:
        """Tokens (n, cameras, K, C) and logits (n, A) of the episodes that are being played."""
        slots = torch.tensor(list(active))
        for slot in active.values():
            slot.now = shown(self.binding, slot.twin.observe(), slot.previous)
        now = [slot.now for slot in active.values() if slot.now is not None]
        images = [torch.from_numpy(np.stack([one.images[name] for one in now])) for name in self.policy.config.cameras]
        state = torch.from_numpy(np.stack([one.state for one in now]))
        previous = torch.tensor([one.previous_action for one in now])
        with torch.inference_mode():
            tokens = self.policy.images(*images)
            text = self.policy.text(*self._instructions(slots))
            logits = self.memory.step(slots, tokens, text, previous, state)
        return tokens.to(torch.float16).numpy(), logits.numpy()

    def _instructions(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids and presence, each (n, words): as wide as these episodes need, whatever was before."""
        words, present = self.words[slots], self.present[slots]
        wide = MAX_WORDS if bool(present[:, SHORT_WORDS:].any()) else SHORT_WORDS
        return words[:, :wide], present[:, :wide]

    def _act(self, slot: Slot, action: str) -> None:
        slot.steps += 1
        slot.actions.append(action)
        if action == "done":
            slot.seen.success, slot.ended = is_success(slot.twin), "done"
            return
        sent = slot.twin.execute(self.binding.command(SPOC_ACTIONS.index(action)))
        slot.seen.collisions += bool(sent.blocked)
        slot.previous = previous_token(sent, action, self.policy.config.blocked_token)
        if slot.steps >= self.max_steps:
            slot.ended = "steps"
