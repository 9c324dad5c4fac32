"""policy_node for benchmarks/ros_latency.py: its trials with an odd seed send the cameras' whole frames.

That is what left the robot before the policy's views were applied beside it; the server still takes it.
"""

from __future__ import annotations

import json
from typing import Any

from ferry_ros.nodes import policy_node

from policy_server import client
from policy_server.client import PolicyClient, PolicySession
from policy_server.wire import messages
from robots.binding import bind
from robots.embodiment import Embodiment
from robots.observation import Observation
from robots.spec import U8Image


class WholeFramesSession(PolicySession):
    """Session whose images are sent as they are; the server crops and resizes them."""

    def _images_of(self, observation: Observation) -> dict[str, U8Image]:
        return dict(observation.images)


class AlternatingClient(PolicyClient):
    """Client whose sessions with an odd seed send whole frames."""

    def open(self, body: Embodiment, instruction: str, *, sampling: str = "greedy", seed: int = 0) -> PolicySession:
        """As PolicyClient.open."""
        if seed % 2 == 0:
            return super().open(body, instruction, sampling=sampling, seed=seed)
        manifest, sha256 = self.served()
        message: dict[str, Any] = {"embodiment": body.to_json(), "instruction": instruction}
        message |= {"sampling": sampling, "seed": seed}
        opened = messages.unpack_json(
            self._connection.send(
                "POST", "/v1/sessions", json.dumps(message).encode(), timeout_s=client.SETUP_TIMEOUT_S
            )
        )
        binding = bind(manifest.spec, body)
        return WholeFramesSession(
            self._connection, opened["session_id"], binding, self._timeout_s, self._images, sha256
        )


if __name__ == "__main__":
    policy_node.PolicyClient = AlternatingClient  # type: ignore[misc,attr-defined]
    policy_node.main()
