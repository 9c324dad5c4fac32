"""A released checkpoint as one to begin from: of `ferry train ppo --clone`, `dagger --checkpoint` and `bc --init`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from training.errors import CheckpointError
from training.models.spoc import SpocPolicy
from training.released.convert import rename
from training.released.differences import account
from training.released.parts import Place
from training.released.read import Parameters, shapes_of
from training.released.releases import CRITIC, VALUE_HEAD, Release
from training.released.tables import policy_table
from training.runtime.checkpoint import policy_payload
from training.runtime.commit import git_commit


def critic_of(release: Release, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The critic of FLaRe's PPO under the names of `ActorCritic`; empty where a file has none.

    Args:
        release: what the file was recognised as.
        tensors: of the file.

    Raises:
        CheckpointError: the critic is not whole, or is another network than the actor.
    """
    given = {name[len(CRITIC) :]: tensor for name, tensor in tensors.items() if name.startswith(CRITIC)}
    if not given:
        return {}
    table = critic_table(release)
    unread = {f"{release.head}.": "the critic network's actor head"}
    try:
        account(shapes_of(given), table, unread, "its critic")
    except CheckpointError as error:
        raise CheckpointError(f"{CRITIC}*: {error}; import it without --checkpoint if no training follows") from error
    return {name: tensor.float() for name, tensor in rename(given, table).items()}


def critic_table(release: Release) -> dict[str, Place]:
    """Every parameter of the critic by its name in the file, without the prefix."""
    body = policy_table(release.config, release.head).items()
    table = {
        name: place if place.ours == "-" else Place(place.shape, f"critic.{place.ours}")
        for name, place in body
        if not name.startswith(f"{release.head}.")
    }
    width = release.config.width
    head = {"weight": (1, width), "bias": (1,)}
    return table | {f"{VALUE_HEAD}{name}": Place(shape, f"value.{name}") for name, shape in head.items()}


def checkpoint_payload(
    policy: SpocPolicy,
    release: Release,
    source: Parameters,
    left_out: Sequence[str],
    tasks: Sequence[str],
    command: str,
) -> dict[str, Any]:
    """What `checkpoint.save` writes: the policy, its critic if there is one, and where they come from."""
    critic = critic_of(release, source.tensors)
    shapes = {name: tuple(tensor.shape) for name, tensor in policy.state_dict().items()}
    for name, tensor in critic.items():  # 1 x 1 convolutions
        critic[name] = tensor.reshape(shapes.get(name.removeprefix("critic."), tuple(tensor.shape)))
    return {
        **policy_payload(policy),
        **({"critic": critic} if critic else {}),
        "algorithm": release.algorithm,
        "seed": source.seed,
        "steps": source.steps,
        "tasks": list(tasks),
        "git_commit": git_commit(),
        "command": command,
        "origin": {
            "release": release.name,
            "file": source.path.name,
            "sha256": source.sha256,
            "steps": source.steps,
            "left_out": list(left_out),
        },
    }
