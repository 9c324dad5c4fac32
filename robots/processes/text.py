"""Text from files and networks, made fit for a terminal."""

from __future__ import annotations

import inspect
import re
from typing import Any


def printable(text: str) -> str:
    """`text` with control characters written out: what another program wrote must not move a terminal's cursor.

    Line breaks and tabs stay, e.g. "a\\x1b]0;b" becomes "a\\\\x1b]0;b".
    """
    return "".join(char if char.isprintable() or char in "\n\t" else _escaped(char) for char in text)


def counted(count: int, noun: str) -> str:
    """Returns e.g. "1 trial" or "3 trials"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def documented(kind: type[Any]) -> dict[str, str]:
    """Description of each field, on one line, from the `Attributes:` section of a dataclass."""
    text = inspect.getdoc(kind) or ""
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", text.partition("Attributes:")[2], re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in entries}


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
