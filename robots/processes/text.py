"""Text from files and networks, made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with control characters written out: what another program wrote must not move a terminal's cursor.

    Line breaks and tabs stay, e.g. "a\\x1b]0;b" becomes "a\\\\x1b]0;b".
    """
    return "".join(one if one.isprintable() or one in "\n\t" else _escaped(one) for one in text)


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")
