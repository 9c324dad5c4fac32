"""Sessions are bounded, forgotten when idle, and used by one request at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bundles import tiny_body, write_tiny_bundle

from policy_server.bundle import PolicyBundle
from policy_server.errors import SessionError
from policy_server.onnx_policy import OnnxPolicy, OnnxSession
from policy_server.serving.sessions import IDLE_S, REMEMBERED, UNUSED_S, Sessions


class Clock:
    """A clock that is set by hand [s]."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(scope="module")
def episode(tmp_path_factory: pytest.TempPathFactory) -> OnnxSession:
    folder: Path = tmp_path_factory.mktemp("bundle")
    write_tiny_bundle(folder)
    return OnnxPolicy(PolicyBundle.load(folder, threads=1)).open(tiny_body(), "find a mug")


def code_of(sessions: Sessions, id: str) -> tuple[str, int]:
    with pytest.raises(SessionError) as error:
        sessions.take(id)
    return error.value.code, error.value.status


def test_ids_differ_and_find_their_session(episode: OnnxSession) -> None:
    sessions = Sessions(2, 10.0)
    one, other = sessions.open(episode), sessions.open(episode)
    assert one.id != other.id
    assert sessions.take(one.id) is one


def test_the_number_is_limited(episode: OnnxSession) -> None:
    sessions = Sessions(1, 10.0)
    first = sessions.open(episode)
    with pytest.raises(SessionError, match="all 1 are in use") as error:
        sessions.open(episode)
    assert (error.value.code, error.value.status) == ("too_many_sessions", 503)
    sessions.close(first.id)
    sessions.open(episode)
    assert len(sessions) == 1


def test_one_request_at_a_time(episode: OnnxSession) -> None:
    sessions = Sessions(1, 10.0)
    session = sessions.open(episode)
    sessions.take(session.id)
    assert code_of(sessions, session.id) == ("busy", 409)
    sessions.give_back(session)
    sessions.take(session.id)


def test_idle_sessions_expire_and_are_distinguished_from_unknown_ones(episode: OnnxSession) -> None:
    clock = Clock()
    sessions = Sessions(1, 10.0, clock)
    session = sessions.open(episode)
    clock.now_s = 9.0
    sessions.give_back(sessions.take(session.id))
    clock.now_s = 18.5
    sessions.give_back(sessions.take(session.id))
    clock.now_s = 29.0
    assert code_of(sessions, session.id) == ("session_expired", 410)
    assert code_of(sessions, "nonsense") == ("unknown_session", 404)
    assert len(sessions) == 0
    sessions.open(episode)  # there is room again


def test_a_busy_session_does_not_expire(episode: OnnxSession) -> None:
    clock = Clock()
    sessions = Sessions(1, 10.0, clock)
    session = sessions.open(episode)
    sessions.take(session.id)
    clock.now_s = 100.0
    assert len(sessions) == 1
    sessions.give_back(session)
    clock.now_s = 109.0
    assert sessions.take(session.id) is session


def test_closed_sessions_are_remembered(episode: OnnxSession) -> None:
    sessions = Sessions(1, 10.0)
    session = sessions.open(episode)
    sessions.close(session.id)
    assert code_of(sessions, session.id) == ("session_closed", 410)
    with pytest.raises(SessionError, match="session was closed"):
        sessions.close(session.id)


def test_the_memory_of_gone_sessions_is_bounded(episode: OnnxSession) -> None:
    sessions = Sessions(1, 10.0)
    first = sessions.open(episode)
    sessions.close(first.id)
    for _ in range(REMEMBERED):
        sessions.close(sessions.open(episode).id)
    assert code_of(sessions, first.id) == ("unknown_session", 404)


def test_room_is_made_by_a_session_that_was_opened_and_never_used(episode: OnnxSession) -> None:
    clock = Clock()
    sessions = Sessions(2, 600.0, clock)
    abandoned, used = sessions.open(episode), sessions.open(replace(episode, step=3))
    clock.now_s = UNUSED_S + 1
    fresh = sessions.open(episode)
    assert code_of(sessions, abandoned.id) == ("session_evicted", 410)
    assert sessions.take(used.id) is used
    with pytest.raises(SessionError, match="all 2 are in use"):
        sessions.open(episode)  # both are in use
    assert sessions.take(fresh.id) is fresh


def test_room_is_made_by_the_session_that_was_idle_longest(episode: OnnxSession) -> None:
    clock = Clock()
    sessions = Sessions(3, 600.0, clock)
    ids = []
    for clock.now_s in (0.0, 1.0, 2.0):
        ids.append(sessions.open(replace(episode, step=1)).id)
    sessions.take(ids[0])  # busy
    clock.now_s = 1.0 + IDLE_S
    sessions.open(episode)
    assert code_of(sessions, ids[1]) == ("session_evicted", 410)
    assert sessions.take(ids[2])


def test_room_is_made_by_an_episode_that_is_over(episode: OnnxSession) -> None:
    sessions = Sessions(1, 600.0, Clock())
    over = sessions.open(replace(episode, step=episode.binding.policy.horizon))
    sessions.open(episode)
    assert code_of(sessions, over.id) == ("session_evicted", 410)
