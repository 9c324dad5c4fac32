"""Where sessions come from: a server that was started again with another bundle is another policy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bundles import tiny_body, write_tiny_bundle
from servers import serving

from evaluation.errors import TrialError
from evaluation.plans.plan import PolicyEntry
from evaluation.policies import ExportedPolicy, open_policy
from policy_server.client import PolicyClient


def test_a_session_of_another_bundle_than_the_evaluation_began_with_is_refused(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "one", script=("move_ahead",))
    write_tiny_bundle(tmp_path / "two", script=("done",))
    with serving(tmp_path / "one") as url:
        policy = open_policy(PolicyEntry("tiny", server=url))
        session, binding = policy.open(tiny_body(), "find a mug", 0)
        session.close()  # type: ignore[attr-defined]
        policy.close()
        assert binding.policy == policy.spec
    with serving(tmp_path / "two") as url, PolicyClient(url) as client:
        now = client.served()[1]
        stale = ExportedPolicy(client, replace(policy.identity, source=url), policy.spec, "greedy")
        begun = policy.identity.bundle_sha256[:12]
        with pytest.raises(TrialError, match=f"'tiny': got bundle {now[:12]} from {url}, expected {begun} as when"):
            stale.open(tiny_body(), "find a mug", 0)


def test_a_bundle_in_this_process_has_no_server_to_change_it(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "one")
    policy = open_policy(PolicyEntry("tiny", bundle=str(tmp_path / "one")), threads=1)
    assert policy.open(tiny_body(), "find a mug", 0)[1].policy == policy.spec
    assert len(policy.identity.bundle_sha256) == 64
