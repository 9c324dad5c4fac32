"""policy_node for benchmarks/ros/ros_latency.py: its trials with an odd seed send the cameras' whole frames.

That is what left the robot before the policy's views were applied beside it; the server still takes it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ferry_ros.nodes import policy_node

from policy_server.client import SETUP_TIMEOUT_S, ClientSession, PolicyClient
from policy_server.policy import Policy, Sampling
from policy_server.wire import messages
from robots.binding import bind
from robots.embodiment import Embodiment
from robots.observation import Observation
from robots.spec import U8Image


class WholeFramesSession(ClientSession):
    """Session whose images are sent as they are; the server crops and resizes them."""

    def _images_of(self, observation: Observation) -> dict[str, U8Image]:
        return dict(observation.images)


class AlternatingClient(PolicyClient):
    """Client whose sessions with an odd seed send whole frames."""

    def open(
        self, embodiment: Embodiment, instruction: str, /, *, sampling: Sampling = "greedy", seed: int = 0
    ) -> ClientSession:
        """As PolicyClient.open."""
        if seed % 2 == 0:
            return super().open(embodiment, instruction, sampling=sampling, seed=seed)
        spec = self.served()[0].spec
        message: dict[str, Any] = {"embodiment": embodiment.to_json(), "instruction": instruction}
        message |= {"sampling": sampling, "seed": seed}
        reply = self._connection.send("POST", "/v1/sessions", json.dumps(message).encode(), timeout_s=SETUP_TIMEOUT_S)
        session = str(messages.unpack_json(reply)["session_id"])
        return WholeFramesSession(
            self._connection, session, bind(spec, embodiment), spec.control_period_s, self._images
        )


def open_policy(address: str | Path, *, token: str | None = None, timeout_s: float | None = None) -> Policy:
    """As policy_server.policies.open_policy, of a server."""
    return AlternatingClient(str(address), token=token, timeout_s=timeout_s)


if __name__ == "__main__":
    vars(policy_node)["open_policy"] = open_policy
    policy_node.main()
