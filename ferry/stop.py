"""`ferry stop`: an emergency stop in this terminal, on any key."""

from __future__ import annotations

from collections.abc import Sequence

from ferry.help import Parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `ferry stop` until Ctrl-C."""
    parser = Parser(
        prog="ferry stop",
        description="Any key stops every robot that is found, and shows which ones confirmed; clearing takes a"
        " whole word. Closing the terminal stops them, too.",
    )
    parser.add_argument("--namespace", default="/", help="stop only robots in this namespace or below it")
    options = parser.parse_args(argv)
    from ferry_ros.nodes import estop_key

    estop_key.main(["--ros-args", "-r", f"__ns:=/{options.namespace.strip('/')}"])
    return 0
