"""Somebody else's server as a policy: every answer is checked, and a late one is never taken for another's."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from dialects import dialect_serving, needs_zmq
from foreign_bundles import POISON, ROWS, arm, expected, seen, write_arm_bundle
from foreign_servers import answering
from servers import ferry_serve

from policy_server.dialects import msgpack_codec
from policy_server.dialects.contract import Contract, Dialect
from policy_server.dialects.contract_file import contract_of
from policy_server.errors import ContractError, PolicyError, Refused, Unreachable, WireError
from policy_server.foreign.connect import connect, is_foreign
from robots.command import Chunk
from robots.embodiments.stretch_re1 import STRETCH_RE1
from robots.errors import BindError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("arm")
    write_arm_bundle(path)
    return path


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    manifest = write_arm_bundle(tmp_path_factory.mktemp("contract"))
    return replace(contract_of(manifest, "openpi"), answers_while_busy=False)


def actions(rows: Any) -> bytes:
    return msgpack_codec.pack({"actions": rows})


@needs_zmq
@pytest.mark.parametrize("dialect", ["openpi", "roboarena", "gr00t"])
def test_every_dialect_answers_as_the_bundle_does(folder: Path, dialect: Dialect) -> None:
    with dialect_serving(folder, dialect) as served, connect(served.url, served.contract) as policy:
        policy.ping(20)
        assert policy.describe().spec == served.contract.policy_spec
        with policy.open(arm(), "find a mug") as session:
            for stamp, joint in ((3, 0.1), (9, -0.4)):
                decision = session.act(seen(stamp_ns=stamp, joint=joint))
                assert decision.chunk is not None
                np.testing.assert_allclose(decision.chunk, expected(joint=joint), rtol=1e-5)
                assert (decision.stamp_ns, decision.valid_for_s) == (stamp, served.contract.control_period_s)
                command = session.binding.chunk(decision.chunk)
                assert isinstance(command, Chunk)
                assert len(command.rows) == ROWS // 2
            assert session.step == 2
            with pytest.raises(Refused, match="not_finite"):
                session.act(seen(wrist=POISON))
            with pytest.raises(Unreachable, match="session ended: Refused"):
                session.act(seen())
        with policy.open(arm(), "find a mug") as session:
            session.act(seen())


@pytest.mark.parametrize("rows", [1, 3])
def test_openvla_answers_a_vector_or_a_list_of_them(tmp_path: Path, rows: int) -> None:
    write_arm_bundle(tmp_path, rows=rows, one_camera=True)
    with dialect_serving(tmp_path, "openvla") as served, connect(served.url, served.contract) as policy:
        policy.ping(20)
        with policy.open(arm(), "find a mug") as session:
            chunk = session.act(seen()).chunk
            assert chunk is not None
            np.testing.assert_allclose(chunk[:, 0], 0.01 * np.arange(1, rows + 1) + 0.02, rtol=1e-5)
            with pytest.raises(Refused, match="'error'; its log has the reason"):
                replace_instruction(session, "x" * 1000).act(seen())


def replace_instruction(session: Any, instruction: str) -> Any:
    session._instruction = instruction
    return session


def test_the_other_robot_is_told_before_anything_is_sent(contract: Contract) -> None:
    with connect("openpi://127.0.0.1:1", contract) as policy, pytest.raises(BindError, match="stretch_re1"):
        policy.open(STRETCH_RE1, "find a mug")


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (actions(np.full((ROWS, 8), np.nan)), WireError, "got nan"),
        (actions(np.full((ROWS, 8), 50.0)), WireError, r"got 50.0, expected \[-3.0, 3.0\]"),
        (actions(np.zeros((ROWS, 7))), WireError, "got shape"),
        (actions(np.zeros((ROWS + 1, 8))), WireError, "got shape"),
        (actions([["a"]]), WireError, "expected numbers"),
        (msgpack_codec.pack({"action": np.zeros((ROWS, 8))}), WireError, "'actions': got no such key among action"),
        (msgpack_codec.pack({"type": "error", "message": "out of memory"}), Refused, "out of memory"),
        ('Traceback (most recent call last):\n  File "x"\nValueError: no GPU', Refused, "ValueError: no GPU"),
        ("", Refused, "an empty text"),
        (b"\xc1", WireError, "not msgpack"),
        (msgpack.packb([1]), WireError, "expected a map"),
        (None, Unreachable, "connection lost"),
    ],
)
def test_an_answer_that_cannot_be_right_is_no_decision(
    contract: Contract, reply: bytes | str | None, error: type[PolicyError], words: str
) -> None:
    with answering(lambda _: reply) as url, connect(url, contract) as policy, policy.open(arm(), "find it") as session:
        with pytest.raises(error, match=words):
            session.act(seen())
        with pytest.raises(Unreachable, match="session ended"):
            session.act(seen())


@pytest.mark.parametrize("greeting", ["hello", b"\xc1"])
def test_a_server_that_greets_wrongly_is_not_used(contract: Contract, greeting: bytes | str) -> None:
    with (
        answering(lambda _: None, greeting) as url,
        connect(url, contract) as policy,
        pytest.raises((Refused, WireError)),
    ):
        policy.open(arm(), "find a mug")


def test_a_late_answer_is_never_taken_for_the_next_one(contract: Contract) -> None:
    """The first answer comes after its deadline: its session is over, and the next session's answer is its own."""
    release = threading.Event()

    def answer(fields: dict[str, Any]) -> bytes:
        joint = float(fields["observation/state"][0])
        if joint < 0.15:
            release.wait(20)
        return actions(np.tile(fields["observation/state"], (ROWS, 1)))

    with answering(answer) as url, connect(url, contract, timeout_s=0.3) as policy:
        first = policy.open(arm(), "find a mug")
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"no complete answer within 0\.\d+ s"):
            first.act(seen(joint=0.1))
        assert time.monotonic() - began < 10
        release.set()
        with pytest.raises(Unreachable, match="session ended"):
            first.act(seen(joint=0.2))
    with answering(answer) as url, connect(url, contract) as policy, policy.open(arm(), "find a mug") as session:
        chunk = session.act(seen(joint=0.2)).chunk
        assert chunk is not None
        assert chunk[0, 0] == pytest.approx(0.2)


def test_silence_while_a_decision_is_awaited_is_no_loss_of_a_server_that_blocks(contract: Contract) -> None:
    asked, release = threading.Event(), threading.Event()

    def answer(fields: dict[str, Any]) -> bytes:
        asked.set()
        release.wait(20)
        return actions(np.zeros((ROWS, 8)))

    with answering(answer) as url, connect(url, contract) as policy, policy.open(arm(), "find a mug") as session:
        thread = threading.Thread(target=session.act, args=(seen(),))
        thread.start()
        assert asked.wait(20)
        policy._server.ping = unanswered  # type: ignore[method-assign]
        policy.ping(0.1)
        release.set()
        thread.join()
        with pytest.raises(Unreachable):
            policy.ping(0.1)


def unanswered(timeout_s: float) -> None:
    time.sleep(timeout_s)
    raise Unreachable("no answer")


@needs_zmq
@pytest.mark.parametrize("dialect", ["openpi", "gr00t"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_or_frozen_server_is_seen_in_time(tmp_path: Path, dialect: Dialect, number: signal.Signals) -> None:
    contract = contract_of(write_arm_bundle(tmp_path), dialect)
    with ferry_serve(tmp_path, "--dialect", dialect, "--dialect-port", "0") as (url, process):
        if dialect == "gr00t":
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
        address = url.partition("://")[2]
        with connect(f"{dialect}://{address}", contract, timeout_s=1.0) as policy:
            session = policy.open(arm(), "find a mug")
            policy.ping(5)
            session.act(seen())
            process.send_signal(number)
            for call in (lambda: policy.ping(0.3), lambda: session.act(seen())):
                began = time.monotonic()
                with pytest.raises(Unreachable):
                    call()
                assert time.monotonic() - began < 5


def test_urls_are_distinguished(contract: Contract, tmp_path: Path) -> None:
    assert is_foreign("openpi://host:1")
    assert is_foreign("openpi+tls://host")
    assert not is_foreign("http://host:1")
    with pytest.raises(ContractError, match="pickles"):
        connect("lerobot://127.0.0.1:8080", contract)
    with pytest.raises(ContractError, match="got a contract for openpi, expected one for gr00t"):
        connect("gr00t://127.0.0.1:5555", contract)
    for url in ("openpi:///", "openpi://host/path", "ftp://host", "openpi://host?x=1", "openpi://host:99999"):
        with pytest.raises(ContractError, match="expected "):
            connect(url, contract)
    with pytest.raises(ContractError, match="got no contract"):
        connect("openpi://127.0.0.1")
    with pytest.raises(ContractError, match="no such file"):
        connect(f"openpi://127.0.0.1?contract={tmp_path / 'none.yaml'}")
    with connect("openpi://127.0.0.1", contract) as policy, pytest.raises(ContractError, match="sampling"):
        policy.open(arm(), "find a mug", sampling="uniform")
