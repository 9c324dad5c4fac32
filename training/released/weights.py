"""The folder of `--weights`: files that a released checkpoint does not contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer
from torch import Tensor

from training.errors import CheckpointError
from training.models.config import PolicyConfig
from training.models.siglip import END, VOCABULARY
from training.models.text_encoder import T5_VOCABULARY
from training.released.differences import account
from training.released.parts import Place
from training.released.read import load_safely, shapes_of
from training.runtime.torch_file import expect_numbers

DINO_FILE, TOKENIZER_FILE = "dinov2_vits14_pretrain.pth", "tokenizer.json"
DINO_SOURCE = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth"  # torch.hub's own


@dataclass(frozen=True)
class Words:
    """A tokenizer: whose, where from, and the ids of some of its words; no id may reach `rows`."""

    whose: str
    source: str
    special: Mapping[str, int]
    rows: int


TOKENIZERS: Mapping[str, Words] = {
    "t5": Words(
        "t5-small's",
        "https://huggingface.co/google-t5/t5-small/resolve/main/tokenizer.json",
        {"<pad>": 0, "</s>": 1},
        T5_VOCABULARY,
    ),
    "siglip": Words(
        "ViT-B-16-SigLIP's",
        "https://huggingface.co/timm/ViT-B-16-SigLIP/resolve/main/tokenizer.json",
        {"</s>": END},
        VOCABULARY,
    ),
}


def expect_files(folder: Path | None, config: PolicyConfig, *, images: bool) -> Path:
    """The folder, when it has the tokenizer, and where `images` is True DINOv2.

    Raises:
        CheckpointError: a file is missing; the message states where to get it.
    """
    needed = {TOKENIZER_FILE: TOKENIZERS[config.text.kind].source} | ({DINO_FILE: DINO_SOURCE} if images else {})
    missing = [name for name in needed if folder is None or not (folder / name).is_file()]
    if folder is None or missing:
        sources = ", ".join(f"{name} ({needed[name]})" for name in missing)
        got = "no folder" if folder is None else f"{folder} without {', '.join(missing)}"
        raise CheckpointError(
            f"--weights: got {got}, expected a folder with {sources}; the checkpoint does not hold them"
        )
    return folder


def read_dino(path: Path, table: Mapping[str, Place]) -> dict[str, Tensor]:
    """DINOv2's parameters as torch.hub names them.

    Raises:
        CheckpointError: the file is damaged, or of another network.
    """
    tensors = load_safely(path)
    if not isinstance(tensors, dict):
        raise CheckpointError(f"{path}: got {type(tensors).__name__}, expected DINOv2's parameters by name")
    expect_numbers(tensors, f"{path}: DINOv2's parameters")
    try:
        account(shapes_of(tensors), table, {}, "dinov2_vits14")
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return tensors


def expect_tokenizer(path: Path, kind: str) -> None:
    """Raises CheckpointError where a tokenizer.json is damaged or not that of the text encoder."""
    expected = TOKENIZERS[kind]
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers package raises bare Exception
        raise CheckpointError(f"{path}: got '{error}', expected a Hugging Face tokenizers file") from error
    special = {word: tokenizer.token_to_id(word) for word in expected.special}
    ids = tokenizer.encode("search for an alarm clock").ids
    if special != expected.special or ids[-1] != END or max(ids) >= expected.rows:
        wanted = f"{expected.whose}: {dict(expected.special)}, </s> last, all below {expected.rows}"
        raise CheckpointError(f"{path}: got special tokens {special} and a text as {ids}, expected {wanted}")
