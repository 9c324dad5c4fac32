"""A network in parts on several ranks (FSDP2, torch.distributed.fsdp.fully_shard), and its whole state.

Each rank holds a part of every parameter, of its gradient and of the optimiser's state. Checkpoints have them whole, in
the form of one rank, so that they are read anywhere. With a network that is whole these functions change nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def shard(network: nn.Module, device: torch.device, rounded: bool = False) -> None:
    """Divides a network among all ranks, layer by layer, each of which is whole only while it computes.

    Layers are the members of every `nn.ModuleList`; what is in none of them is one part more. Gradients of the ranks
    are added up, not averaged.

    Args:
        network: on the CPU, with the same weights on all ranks.
        device: of the parts.
        rounded: whether weights are sent and used in bfloat16; gradients are added up, and both kept, in float32.
    """
    from torch.distributed.device_mesh import init_device_mesh  # here: they take half as long to import as torch
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")  # nothing here computes in place
    kept = MixedPrecisionPolicy(cast_forward_inputs=False)
    policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False) if rounded else kept
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    layers = [layer for some in network.modules() if isinstance(some, nn.ModuleList) for layer in some]
    for part in (*reversed(layers), network):
        fully_shard(part, mesh=mesh, mp_policy=policy, reshard_after_forward=True)
        assert isinstance(part, FSDPModule)
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)


def whole(state: Mapping[str, Any], keep: bool = True) -> dict[str, Any]:
    """Returns the tensors of a state dict whole, on the CPU, one after the other; all ranks call it together.

    A rank that does not `keep` them gets none, and needs no memory for them.
    """
    made = dict[str, Any]()
    for name, value in state.items():
        value = value.full_tensor() if is_part(value) else value
        if keep:
            made[name] = value.detach().cpu() if isinstance(value, Tensor) else value
    return made


def part_of(value: Any, like: Any) -> Any:
    """Returns this rank's part of a whole tensor, divided as `like` is; what is not of its shape stays as it is."""
    if is_part(like) and isinstance(value, Tensor) and value.shape == like.shape:
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
    return value


def load_whole(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts whole weights into a network."""
    own = network.state_dict()
    network.load_state_dict({name: part_of(value, own.get(name)) for name, value in weights.items()})


def whole_optimiser(optimiser: torch.optim.Optimizer, keep: bool = True) -> dict[str, Any]:
    """Returns an optimiser's state dict with whole tensors; see `whole`."""
    state = optimiser.state_dict()
    return {**state, "state": {number: whole(one, keep) for number, one in state["state"].items()}}


def load_optimiser(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Inverse of `whole_optimiser`."""
    of = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    own = {
        number: {name: part_of(value, of[number]) for name, value in values.items()}
        for number, values in state["state"].items()
    }
    optimiser.load_state_dict({**state, "state": own})


def clip_gradients(parameters: Iterable[nn.Parameter], most: float) -> float:
    """Scales gradients down to a norm of at most `most` over all ranks; returns the norm before."""
    norm: Any = torch.nn.utils.clip_grad_norm_(parameters, most)
    return float(norm.full_tensor() if is_part(norm) else norm)


def local(value: Any) -> Tensor:
    """Returns the numbers of a tensor that this rank holds, in the same memory."""
    own: Tensor = value.to_local() if is_part(value) else value
    return own


def is_part(value: object) -> bool:
    """Whether a value is a tensor of which this rank holds a part, a DTensor."""
    return hasattr(value, "full_tensor")
