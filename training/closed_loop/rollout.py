"""Parallel rollouts in one process: several twins and one batched policy with a key-value cache per twin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from robots.binding import Binding, bind
from robots.spec import F32Vector
from simulation.episode import EpisodeSpec
from simulation.episode_steps import EpisodeSteps
from simulation.task_registry import Expert, task
from simulation.twins.house_twin import Twin, TwinOptions
from simulation.twins.registry import make_twin
from training.data.demonstration import Demonstration
from training.data.recording import PolicyInput, policy_input
from training.models.spoc import SpocPolicy, Text
from training.models.tokenizer import encode, tokenizer_for

INSTRUCTION_TOKENS = (16, 32, 64)
"""Instructions are padded to the first of these that is long enough for all of the active ones.

RoomVisit's are the longest; SigLIP's always have 64 tokens."""


class KVCache:
    """Key-value caches of N episodes of different lengths.

    Keys carry no position, so the caches lie in one block and a mask marks the places in use.
    """

    def __init__(self, policy: SpocPolicy, slots: int, capacity: int) -> None:
        layers, heads, size = policy.heads
        self.policy = policy
        self.keys, self.values = (torch.zeros(layers, slots, heads, capacity, size) for _ in range(2))
        self.lengths = torch.zeros(slots, dtype=torch.int64)

    def clear(self, slot: int) -> None:
        """Empties a slot's cache for a new episode."""
        self.lengths[slot] = 0

    def step(self, slots: Tensor, tokens: Tensor, text: Text, previous: Tensor, state: Tensor) -> Tensor:
        """Runs one step of the episodes in `slots` (n,); returns logits (n, A)."""
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
class ActiveEpisode:
    """One twin and the episode that it plays.

    Attributes:
        play: the episode's steps.
        record: the episode so far.
        policy_input: input of the current decision.
    """

    play: EpisodeSteps
    expert: Expert
    record: Demonstration
    rng: np.random.Generator
    ignored: int = 0
    policy_input: PolicyInput | None = None
    actions: list[str] = field(default_factory=list)

    @property
    def twin(self) -> Twin:
        """The twin."""
        return self.play.twin

    @property
    def steps(self) -> int:
        """Decisions so far."""
        return self.play.count

    @property
    def ended(self) -> str:
        """Why the episode is over; see `EpisodeSteps`."""
        return self.play.ended


Decide = Callable[[ActiveEpisode, F32Vector], str]
"""Chooses the action to execute from masked logits; may query the slot's expert."""


class Rollout:
    """Plays episodes with `slots` twins of a robot and one policy."""

    def __init__(
        self, policy: SpocPolicy, slots: int, options: TwinOptions, max_steps: int, body: str = "stretch_re1"
    ) -> None:
        self.policy, self.max_steps = policy.eval(), max_steps
        self.twins = [make_twin(body, options) for _ in range(slots)]
        self.binding: Binding = bind(policy.config.spec(), self.twins[0].spec)
        self.cache = KVCache(policy, slots, max_steps)
        self.tokenizer = tokenizer_for(policy.config.text)
        self.words = torch.zeros(slots, INSTRUCTION_TOKENS[-1], dtype=torch.int64)
        self.present = torch.zeros(slots, INSTRUCTION_TOKENS[-1], dtype=torch.bool)
        for twin in self.twins:
            twin.connect()

    def close(self) -> None:
        """Disconnects the twins."""
        for twin in self.twins:
            twin.disconnect()

    def run(self, episodes: Iterable[EpisodeSpec], decide: Decide, keep: bool = False) -> Iterator[ActiveEpisode]:
        """Yields each episode's slot when it has ended; `keep` stores the features in its record."""
        waiting = iter(episodes)
        active: dict[int, ActiveEpisode] = {}
        for number in range(len(self.twins)):
            self._fill(active, number, waiting)
        while active:
            numbers = list(active)
            for slot, tokens, logits in zip(active.values(), *self._logits(active)):
                if keep:
                    slot.record.features.append(tokens)
                self._act(slot, decide(slot, self.binding.masked(logits)))
            for number in numbers:
                if active[number].ended:
                    yield active.pop(number)
                    self._fill(active, number, waiting)

    def _fill(self, active: dict[int, ActiveEpisode], number: int, waiting: Iterator[EpisodeSpec]) -> None:
        episode = next(waiting, None)
        if episode is None:
            return
        play = EpisodeSteps(self.twins[number], episode, self.binding, self.max_steps)
        self.cache.clear(number)
        ids, _ = encode(self.tokenizer, [episode.instruction])
        self.words[number], self.present[number] = 0, False
        self.words[number, : ids.shape[1]], self.present[number, : ids.shape[1]] = ids[0], True
        rng = np.random.default_rng([episode.house_seed, episode.seed, 2])
        active[number] = ActiveEpisode(play, task(episode.task).expert(play.twin), Demonstration(episode), rng)

    def _logits(self, active: dict[int, ActiveEpisode]) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float32]]:
        """Computes image tokens (n, cameras, K, C) and logits (n, A) of the active episodes."""
        slots = torch.tensor(list(active))
        for slot in active.values():
            slot.policy_input = self.observe(slot)
        inputs = [slot.policy_input for slot in active.values() if slot.policy_input is not None]
        names = self.policy.config.cameras
        images = [torch.from_numpy(np.stack([given.images[name] for given in inputs])) for name in names]
        state = torch.from_numpy(np.stack([given.state for given in inputs]))
        previous = torch.tensor([given.previous_action for given in inputs])
        with torch.inference_mode():
            tokens = self.policy.images(*images)
            text = self.policy.text(*self._instructions(slots))
            logits = self.cache.step(slots, tokens, text, previous, state)
        return tokens.to(torch.float16).numpy(), logits.numpy()

    def _instructions(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids and presence, each (n, words), only as wide as these episodes need."""
        words, present = self.words[slots], self.present[slots]
        wide = next(count for count in INSTRUCTION_TOKENS if not present[:, count:].any())
        return words[:, :wide], present[:, :wide]

    def observe(self, slot: ActiveEpisode) -> PolicyInput:
        """Returns the policy's input at this moment of an episode."""
        previous = slot.play.previous_action(self.policy.config.tokens)
        return policy_input(self.binding, slot.twin.observe(), previous)

    @staticmethod
    def _act(slot: ActiveEpisode, action: str) -> None:
        slot.actions.append(action)
        slot.play.act(action)
        slot.record.success, slot.record.collisions = slot.play.success, slot.play.collisions
