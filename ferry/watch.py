"""`ferry watch`: a live view of a graph that runs already, for Foxglove or Rerun."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ferry.help import Formatter

PORTS = {"foxglove": 8765, "rerun": 9876}
HOST = "address for Foxglove, 0.0.0.0 for viewers on other machines; or the machine where the Rerun viewer runs"


def main(argv: Sequence[str] | None = None) -> int:
    """Shows the graph until it is interrupted.

    Raises:
        RobotError: no graph is found, or more than one, or the port is taken.
    """
    options = _parser().parse_args(argv)
    if options.viewer == "rerun" and find_spec("rerun") is None:
        print("ferry watch: --viewer rerun needs rerun: pip install -e '.[rerun]'", file=sys.stderr)
        return 1
    from ferry_ros.graph_trial import find_graph
    from ferry_ros.nodes.watch_node import main as serve

    namespace, cameras = find_graph(options.namespace)
    if options.layout:
        from evaluation.recordings.foxglove_layout import layout

        options.layout.write_text(json.dumps(layout(namespace, cameras), indent=2) + "\n", encoding="utf-8")
    port = PORTS[options.viewer] if options.port is None else options.port
    rate_hz = options.image_rate_hz
    values = {"viewer": options.viewer, "host": options.host, "port": port, "image_rate_hz": rate_hz}
    words = [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
    serve(["watch_node", "--ros-args", "-r", f"__ns:={namespace}", *words])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ferry watch",
        description="Shows a graph that runs already: cameras, robot model, decisions with probabilities and deadline,"
        " stops. In Foxglove, open a connection to the address that is printed and import the layout; or start `rerun`,"
        " to which this connects. Nobody can command the robot through either. Ctrl-C ends it.",
        formatter_class=Formatter,
    )
    parser.add_argument("--namespace", default="", help="of the graph; needed when more than one runs")
    parser.add_argument("--viewer", choices=tuple(PORTS), default="foxglove")
    parser.add_argument("--host", default="127.0.0.1", help=HOST)
    parser.add_argument("--port", type=int, help="of Foxglove's websocket, or of the Rerun viewer; by default theirs")
    parser.add_argument("--image-rate-hz", type=float, default=5.0, help="most images a second of each camera")
    parser.add_argument("--layout", type=Path, help="file to write the layout for this graph into, to be imported")
    return parser


if __name__ == "__main__":
    sys.exit(main())
