"""Where a dataset's episodes come from, as `meta/ferry.json` beside what lerobot reads.

What a policy that learns from the dataset needs beyond LeRobot's tables: the robot, to bind to it, and how each trial
ended.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.recordings.recording import Recording
from robots.spec import DiscreteActions

ORIGIN_FILE = Path("meta/ferry.json")


@dataclass
class Origin:
    """Grows with the episodes of a dataset.

    Attributes:
        bodies: embodiments as JSON, each once.
        episodes: of each its body's number, recording, bundle, tasks of the policy, kind of its actions, and end.
    """

    bodies: list[dict[str, Any]] = field(default_factory=list)
    episodes: list[dict[str, Any]] = field(default_factory=list)

    def add(self, recording: Recording) -> None:
        """Adds an episode."""
        body = json.loads(json.dumps(recording.body.to_json()))
        if body not in self.bodies:
            self.bodies.append(body)
        is_discrete = isinstance(recording.manifest.spec.actions, DiscreteActions)
        self.episodes.append(
            {
                "body": self.bodies.index(body),
                "recording": f"{recording.path.parent.name}/{recording.path.name}",
                "policy": recording.manifest.name,
                "bundle_sha256": recording.bundle_sha256,
                "tasks": list(recording.manifest.tasks),
                "actions": "discrete" if is_discrete else "chunk",
                "reason": recording.end.get("reason", ""),
                "outcome": recording.end.get("outcome", ""),
            }
        )

    def write(self, root: Path) -> None:
        """Writes it into a dataset."""
        content = {"bodies": self.bodies, "episodes": self.episodes}
        (root / ORIGIN_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
