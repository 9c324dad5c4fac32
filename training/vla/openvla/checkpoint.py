"""Reads a checkpoint of OpenVLA-OFT's token variant, or of SimpleVLA-RL, as a policy.

The folder is what their scripts write: config.json with the statistics of the actions, tokenizer.json, and
*.safetensors with timm's names for the image encoders (moojink/openvla-oft `modeling_prismatic.py`). Every parameter is
accounted for. What is left out is what their own network does not use either: the encoders' heads.

What published policies expect of an image and a gripper is an option of the policy, never silent: LIBERO's image
mirrored (`Backbone.mirrored`), 90 % of its area (`Backbone.crop`), and 1 for an open gripper
(`VlaConfig.gripper_opens`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from tokenizers import Regex, Tokenizer, normalizers, processors
from torch import Tensor

from training.errors import CheckpointError
from training.runtime import torch_file
from training.runtime.weights import fill
from training.vla.policy.action_tokenizer import Statistics
from training.vla.policy.backbone import Backbone, Part
from training.vla.policy.config import VlaConfig
from training.vla.policy.model import VlaPolicy

PROMPT = ("In: What action should the robot take to ", "?\nOut:")
SPACE = "▁"
"""A token without a letter, which follows the prompt (id 29871 of Llama 2)."""

FEATURIZERS = ("vision_backbone.featurizer.", "vision_backbone.fused_featurizer.")
DINO_HEAD, SIGLIP_HEAD = 64, 72
"""Width of an attention head of DINOv2 and of SigLIP So400m, from which the number of heads follows."""

OTHER_HEADS = ("action_head--", "noisy_action_projector--", "vision_backbone--")
"""First parts of the names of files that only policies with another head have: of an L1 or diffusion head, or FiLM."""

PROPRIO = "proprio_projector--*.pt"
LAYERS = {"fc1": "0", "fc2": "2", "fc3": "4"}

DINO_NAMES = {
    "norm1.": "norm1.", "norm2.": "norm2.", "mlp.": "mlp.", "attn.proj.": "attention.o_proj.",
    "ls1.scale_factor": "layer_scale1.lambda1", "ls2.scale_factor": "layer_scale2.lambda1",
}  # fmt: skip
SIGLIP_NAMES = {
    "norm1.": "layer_norm1.", "norm2.": "layer_norm2.", "mlp.": "mlp.", "attn.proj.": "self_attn.out_proj.",
}  # fmt: skip

Tensors = dict[str, Tensor]


def read_openvla(folder: Path, dataset: str = "", crop: float = 0.9, mirrored: bool = True) -> VlaPolicy:
    """Makes the policy of a folder, in evaluation mode and in the numbers' own precision.

    Args:
        folder: of a merged checkpoint.
        dataset: whose statistics scale the actions, e.g. "libero_spatial_no_noops"; by default the only one.
        crop: fraction of the image's area that it was trained to look at (0.9 with their image augmentation).
        mirrored: whether it was trained on mirrored images, as with OpenVLA's RLDS of LIBERO.

    Raises:
        CheckpointError: a file is missing or damaged, a parameter is unknown, missing or of another shape, or the
            policy has another head.
    """
    fields = _json(folder / "config.json")
    for path in sorted(folder.glob("*.pt")):
        if path.name.startswith(OTHER_HEADS):
            raise CheckpointError(f"{path}: got a policy with another head, expected one that answers with tokens")
    theirs = _tensors(folder)
    config = _config(folder, fields, theirs, dataset, crop, mirrored)
    policy = VlaPolicy(config).to(next(iter(theirs.values())).dtype)
    fill(policy, _renamed(theirs, config), folder)
    return policy.eval()


def prompting(content: str) -> str:
    """Returns a tokenizers file that makes the prompt of an instruction, of one that encodes text as it is."""
    tokenizer = Tokenizer.from_str(content)
    before, after = PROMPT
    steps = [normalizers.Strip(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\A"), before)]
    steps.append(normalizers.Replace(Regex(r"\z"), after))
    if tokenizer.normalizer is not None:
        steps.append(tokenizer.normalizer)
    tokenizer.normalizer = normalizers.Sequence(steps)
    special = [(text, tokenizer.token_to_id(text)) for text in ("<s>", SPACE)]
    if None in [number for _, number in special]:
        raise CheckpointError(f"tokenizer: got none of {[text for text, _ in special]}, expected Llama's")
    tokenizer.post_processor = processors.TemplateProcessing(f"<s> $A {SPACE}", special_tokens=special)
    text: str = tokenizer.to_str()
    return text


def _json(path: Path) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}; expected the file of that name in a folder of OpenVLA's") from error
    return fields


def _tensors(folder: Path) -> Tensors:
    """Of all *.safetensors, and of the proprioception's projector where there is one."""
    found: Tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "pt") as file:
                found |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path}: {error}; download it again") from error
    for path in sorted(folder.glob(PROPRIO)):
        state = torch_file.read(path, "the projector of proprioception")
        found |= {f"proprio_projector.{name.removeprefix('module.')}": value for name, value in state.items()}
    if not found:
        raise CheckpointError(f"{folder}: got no *.safetensors, expected a merged checkpoint of OpenVLA's")
    torch_file.expect_numbers(found, f"{folder}: parameters")
    return found


def _config(
    folder: Path, fields: Mapping[str, Any], tensors: Tensors, dataset: str, crop: float, mirrored: bool
) -> VlaConfig:
    try:
        statistics = fields.get("norm_stats") or _json(folder / "dataset_statistics.json")
        name = dataset or (next(iter(statistics)) if len(statistics) == 1 else "")
        if name not in statistics:
            raise CheckpointError(f"{folder}: dataset: got {dataset!r}, expected one of {', '.join(statistics)}")
        of = statistics[name]
        text = fields["text_config"]
        last = int(tensors["language_model.model.embed_tokens.weight"].shape[0]) - int(fields["pad_to_multiple_of"]) - 1
        backbone = Backbone(
            vision=tuple(_encoder(tensors, prefix) for prefix in FEATURIZERS if f"{prefix}pos_embed" in tensors),
            language=_language(tensors, text),
            last_token=last,
            stop_token=2,
            crop=crop,
            mirrored=mirrored,
        )
        sees = any(one.startswith("proprio_projector.") for one in tensors)
        return VlaConfig(
            actions=_statistics(of["action"]),
            proprio=_statistics(of["proprio"]) if sees else None,
            network="tokens",
            backbone=backbone,
            tokenizer=prompting((folder / "tokenizer.json").read_text()),
            image_size=int(fields["image_sizes"][0]),
            chunk=int(fields.get("chunk", 8)),
            bins=int(fields["n_action_bins"]),
            gripper_opens=True,
        )
    except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
        got = f"{type(error).__name__} {error}"
        raise CheckpointError(f"{folder}: got {got}, expected the files and fields of OpenVLA's") from error


def _statistics(fields: Mapping[str, Any]) -> Statistics:
    """Their q01, q99 and mask; a dimension without a mask is scaled."""
    low, high = fields["q01"], fields["q99"]
    mask = fields.get("mask") or [True] * len(low)
    return Statistics(tuple(map(float, low)), tuple(map(float, high)), tuple(map(bool, mask)))


def _encoder(tensors: Tensors, prefix: str) -> Part:
    """Sizes of an image encoder, from the shapes of its parameters."""
    width, _, patch, _ = tensors[f"{prefix}patch_embed.proj.weight"].shape
    layers = _count(tensors, f"{prefix}blocks.")
    wide = int(tensors[f"{prefix}blocks.0.mlp.fc1.weight"].shape[0])
    both = {"hidden_size": width, "num_hidden_layers": layers, "patch_size": patch, "hidden_act": "gelu"}
    if f"{prefix}reg_token" in tensors:
        registers = int(tensors[f"{prefix}reg_token"].shape[1])
        heads, ratio = width // DINO_HEAD, wide // width
        own = {"num_attention_heads": heads, "mlp_ratio": ratio, "num_register_tokens": registers}
        return {"model_type": "dinov2_with_registers", **both, **own, "layer_norm_eps": 1e-6}
    own = {"num_attention_heads": width // SIGLIP_HEAD, "intermediate_size": wide, "vision_use_head": False}
    return {"model_type": "siglip_vision_model", **both, **own, "layer_norm_eps": 1e-6}


def _language(tensors: Tensors, fields: Mapping[str, Any]) -> Part:
    """Sizes of the language model: what config.json says, else Llama 2's; table, widths and layers from the shapes."""
    vocabulary, width = tensors["language_model.model.embed_tokens.weight"].shape
    heads = int(fields.get("num_attention_heads", 32))
    return {
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": int(tensors["language_model.model.layers.0.mlp.gate_proj.weight"].shape[0]),
        "num_hidden_layers": _count(tensors, "language_model.model.layers."),
        "num_attention_heads": heads,
        "num_key_value_heads": int(fields.get("num_key_value_heads", heads)),
        "max_position_embeddings": int(fields.get("max_position_embeddings", 2048)),
        "rms_norm_eps": float(fields.get("rms_norm_eps", 1e-6)),
    }


def _count(tensors: Iterable[str], prefix: str) -> int:
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in tensors if name.startswith(prefix))


def _renamed(tensors: Tensors, config: VlaConfig) -> Tensors:
    """Their parameters by this repository's names; a name that has none stays as it is."""
    ours: Tensors = {}
    assert config.backbone is not None
    kinds = [str(one["model_type"]) for one in config.backbone.vision]
    for name, value in tensors.items():
        number = next((n for n, prefix in enumerate(FEATURIZERS) if name.startswith(prefix)), None)
        if number is not None:
            rename = _dino if kinds[number].startswith("dinov2") else _siglip
            part = rename(name.removeprefix(FEATURIZERS[number]), value)
            ours |= {f"network.encoders.{number}.model.{key}": one for key, one in part.items()}
        elif name.startswith("projector."):
            _, layer, kind = name.split(".")
            ours[f"network.projector.{LAYERS.get(layer, layer)}.{kind}"] = value
        elif name.startswith("proprio_projector."):
            _, layer, kind = name.split(".")
            ours[f"network.proprio.{LAYERS.get(layer, layer)}.{kind}"] = value
        elif name.startswith("language_model.model."):
            ours["network.language." + name.removeprefix("language_model.model.")] = value
        else:
            ours[{"language_model.lm_head.weight": "network.head.weight"}.get(name, name)] = value
    return ours


def _dino(name: str, value: Tensor) -> Tensors:
    """timm's DINOv2 with registers: positions are added to patches alone, so that of the class token is 0."""
    if name == "pos_embed":
        return {"embeddings.position_embeddings": torch.cat([torch.zeros_like(value[:, :1]), value], dim=1)}
    whole = {"cls_token": "embeddings.cls_token", "reg_token": "embeddings.register_tokens"}
    if name == "cls_token":  # what stands for a hidden patch is never used
        return {whole[name]: value, "embeddings.mask_token": torch.zeros_like(value[0])}
    if name in whole:
        return {whole[name]: value}
    if name.startswith("patch_embed.proj."):
        return {name.replace("patch_embed.proj.", "embeddings.patch_embeddings.projection."): value}
    return _block(name, value, "encoder.layer.", "attention.", DINO_NAMES, "layernorm.")


def _siglip(name: str, value: Tensor) -> Tensors:
    """timm's SigLIP; the pooling in its head is not used by OpenVLA."""
    if name.startswith("attn_pool."):
        return {}
    if name == "pos_embed":
        return {"embeddings.position_embedding.weight": value[0]}
    if name.startswith("patch_embed.proj."):
        return {name.replace("patch_embed.proj.", "embeddings.patch_embedding."): value}
    return _block(name, value, "encoder.layers.", "self_attn.", SIGLIP_NAMES, "post_layernorm.")


def _block(name: str, value: Tensor, layers: str, attention: str, names: Mapping[str, str], norm: str) -> Tensors:
    """Of a layer, whose queries, keys and values timm keeps together; and of the last norm."""
    if not name.startswith("blocks."):
        return {name.replace("norm.", norm, 1) if name.startswith("norm.") else name: value}
    _, number, rest = name.split(".", 2)
    if rest.startswith("attn.qkv."):
        kind = rest.rpartition(".")[2]
        three = zip(("q_proj", "k_proj", "v_proj"), value.chunk(3))
        return {f"{layers}{number}.{attention}{key}.{kind}": one for key, one in three}
    found = next((theirs for theirs in names if rest.startswith(theirs)), None)
    return {f"{layers}{number}.{rest if found is None else rest.replace(found, names[found], 1)}": value}
