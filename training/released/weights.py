"""The folder of `--weights`: what a released checkpoint does not hold itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tokenizers import Tokenizer
from torch import Tensor

from training.errors import CheckpointError
from training.released.differences import account
from training.released.read import load_safely, shapes_of
from training.released.tables import Place
from training.text_encoder import T5_VOCABULARY

DINO_FILE, TOKENIZER_FILE = "dinov2_vits14_pretrain.pth", "tokenizer.json"
WHERE = {
    DINO_FILE: "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",  # torch.hub's own
    TOKENIZER_FILE: "https://huggingface.co/google-t5/t5-small/resolve/main/tokenizer.json",
}

PAD, END = ("<pad>", 0), ("</s>", 1)  # t5-small's tokenizer.json


def expect_files(folder: Path | None, needed: tuple[str, ...]) -> Path:
    """The folder, when every needed file is in it.

    Raises:
        CheckpointError: a file is missing; the message says where it comes from.
    """
    missing = [name for name in needed if folder is None or not (folder / name).is_file()]
    if folder is None or missing:
        sources = ", ".join(f"{name} ({WHERE[name]})" for name in missing)
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
    if not isinstance(tensors, dict) or not all(isinstance(one, Tensor) for one in tensors.values()):
        raise CheckpointError(f"{path}: got {type(tensors).__name__}, expected DINOv2's parameters by name")
    try:
        account(shapes_of(tensors), table, {}, "dinov2_vits14")
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return tensors


def expect_t5_tokenizer(path: Path) -> None:
    """Raises CheckpointError where a tokenizer.json is damaged or not that of T5."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers package raises bare Exception
        raise CheckpointError(f"{path}: got '{error}', expected a Hugging Face tokenizers file") from error
    special = {word: tokenizer.token_to_id(word) for word, _ in (PAD, END)}
    if special != dict((PAD, END)) or tokenizer.encode("go to a mug").ids[-1] != END[1]:
        raise CheckpointError(f"{path}: got special tokens {special}, expected t5-small's, which ends a text with </s>")
    if tokenizer.get_vocab_size() > T5_VOCABULARY:
        raise CheckpointError(
            f"{path}: got {tokenizer.get_vocab_size()} tokens, expected at most {T5_VOCABULARY}, the rows of T5's table"
        )
