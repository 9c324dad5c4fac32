"""Text from files and networks, made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with control characters written out: what another program wrote must not move a terminal's cursor.

    Line breaks and tabs stay, e.g. "a\\x1b]0;b" becomes "a\\\\x1b]0;b".
    """
    return "".join(char if char.isprintable() or char in "\n\t" else _escaped(char) for char in text)


def counted(count: int, noun: str) -> str:
    """Returns e.g. "1 trial" or "3 trials"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
