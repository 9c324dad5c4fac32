"""Texts of message definitions, as MCAP and rosbag2 hold them."""

from __future__ import annotations

import os
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from ferry_ros.interfaces.definitions import DEFINITIONS

TF = "geometry_msgs/TransformStamped[] transforms\n"
FIELD = re.compile(r"^\s*([A-Z]\w*|\w+/\w+)(?:\[\S*\])?\s+\w+", re.MULTILINE)


def kind_of(message: Any) -> str:
    """The full name of a message class, e.g. "nav_msgs/msg/Odometry"."""
    return f"{message.__module__.split('.')[0]}/msg/{message.__name__}"


@lru_cache(maxsize=64)
def message_text(kind: str) -> str:
    """A type's definition with those that it refers to; FileNotFoundError where ROS's files of it are not installed."""
    texts: dict[str, str] = {}
    missing = [kind]
    while missing:
        name = missing.pop()
        if name in texts:
            continue
        package, _, message = name.split("/")
        texts[name] = _text(package, message)
        for word in FIELD.findall(texts[name]):
            owner, _, other = word.rpartition("/")
            missing.append(f"{owner or package}/msg/{other}")
    first = texts.pop(kind)
    others = (f"{'=' * 80}\nMSG: {name.replace('/msg/', '/')}\n{text}" for name, text in texts.items())
    return "\n".join((first, *others))


def begins_with_header(text: str) -> bool:
    """True if the first field of a message with this definition is a std_msgs/Header."""
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return first.split()[:1] == ["std_msgs/Header"]


def _text(package: str, message: str) -> str:
    if (package, message) == ("tf2_msgs", "TFMessage"):
        return TF
    if own := DEFINITIONS.get(package, {}).get(f"msg/{message}.msg"):
        return own
    prefixes = [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]
    files = [Path(prefix) / "share" / package / "msg" / f"{message}.msg" for prefix in prefixes]
    found = next((file for file in files if file.is_file()), files[-1])
    return found.read_text(encoding="utf-8")
