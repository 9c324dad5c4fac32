"""The server's sessions: bounded in number, expired when idle, one decision at a time in each.

When there is no room, a session is evicted that is no longer in use: its episode is over, it was opened and never used,
or it has been idle for long. So a robot whose computer went to sleep does not lock the next one out.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from policy_server.bundle import PolicyBundle
from policy_server.errors import SessionError
from policy_server.onnx_policy import OnnxSession
from policy_server.serving.api_clients import ANYONE, ApiClient
from policy_server.serving.fair_pool import Account

UNUSED_S = 10.0  # a session that was opened and never used is evicted after this time
IDLE_S = 30.0  # longer than a robot's motion between two decisions
WHY_GONE = {
    "session_expired": "idle for too long",
    "session_evicted": "evicted while idle, to make room for another one",
    "session_closed": "closed",
    "session_rolled_back": "ended, for its bundle erred and was rolled back",
}
REMEMBERED = 1024  # ids of past sessions, to distinguish "expired" from "never existed"


@dataclass
class Session:
    """One episode with its use."""

    id: str
    episode: OnnxSession
    used_s: float
    policy: str = ""
    """Name of its policy: each has room for as many."""
    busy: bool = False
    client: ApiClient = ANYONE
    account: Account = field(default_factory=Account)

    @property
    def spare_after_s(self) -> float:
        """Idle time after which it may be evicted [s]."""
        if self.episode.is_over:
            return 0.0
        return IDLE_S if self.episode.step else UNUSED_S


class Sessions:
    """All open sessions, `most` of each policy. Safe to use from several threads."""

    def __init__(
        self, most: int, timeout_s: float, clock: Callable[[], float] = time.monotonic, replica: str = ""
    ) -> None:
        self._most, self._timeout_s, self._clock = most, timeout_s, clock
        self._prefix = f"{replica}." if replica else ""
        self._open: dict[str, Session] = {}
        self._gone: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            self._expire()
            return len(self._open)

    def check_room(self, policy: str = "") -> None:
        """Raises SessionError 503 "too_many_sessions" when no more of a policy can be opened."""
        with self._lock:
            self._check_room(policy)

    def open(self, episode: OnnxSession, policy: str = "", client: ApiClient = ANYONE) -> Session:
        """Opens a session with an id that cannot be guessed; SessionError as in `check_room`."""
        id, account = f"{self._prefix}{secrets.token_urlsafe(16)}", Account(priority=client.priority)
        session = Session(id, episode, self._clock(), policy, client=client, account=account)
        with self._lock:
            self._check_room(policy)
            self._open[session.id] = session
        return session

    def take(self, id: str) -> Session:
        """Marks the session as busy until `give_back`.

        Raises SessionError: 404 "unknown_session", 410 "session_expired", "session_evicted" or "session_closed",
        409 "busy".
        """
        with self._lock:
            self._expire()
            session = self._find(id)
            if session.busy:
                raise SessionError(
                    "session: another request is still running; send one at a time", code="busy", status=409
                )
            session.busy = True
            return session

    def give_back(self, session: Session) -> None:
        """Releases the session after `take`; its idle time starts now."""
        with self._lock:
            session.used_s, session.busy = self._clock(), False

    def close(self, id: str) -> None:
        """Closes a session; SessionError as in `take`. A decision in progress is still answered."""
        with self._lock:
            self._expire()
            self._find(id)
            self._forget(id, "session_closed")

    def withdraw(self, bundle: PolicyBundle) -> None:
        """Ends every session of a bundle; a decision in progress is still answered."""
        with self._lock:
            for session in [each for each in self._open.values() if each.episode.bundle is bundle]:
                self._forget(session.id, "session_rolled_back")

    def bundles(self) -> list[PolicyBundle]:
        """Returns the bundle of each open session."""
        with self._lock:
            self._expire()
            return [each.episode.bundle for each in self._open.values()]

    def _check_room(self, policy: str) -> None:
        self._expire()
        if len(self._of(policy)) >= self._most:
            self._evict(policy)
        if len(self._of(policy)) >= self._most:
            message = f"sessions: all {self._most} are in use; close one or try again later"
            raise SessionError(message, code="too_many_sessions", status=503, details={"max_sessions": self._most})

    def _find(self, id: str) -> Session:
        if id in self._open:
            return self._open[id]
        code = self._gone.get(id, "")
        if code:
            message = f"session was {WHY_GONE[code]}; open a new one"
            raise SessionError(message, code=code, status=410)
        raise SessionError("session: unknown id; open one with POST /v1/sessions", code="unknown_session")

    def _expire(self) -> None:
        oldest = self._clock() - self._timeout_s
        for session in [each for each in self._open.values() if not each.busy and each.used_s < oldest]:
            self._forget(session.id, "session_expired")

    def _of(self, policy: str) -> list[Session]:
        return [each for each in self._open.values() if each.policy == policy]

    def _evict(self, policy: str) -> None:
        now_s = self._clock()
        spare = [each for each in self._of(policy) if not each.busy and now_s - each.used_s >= each.spare_after_s]
        if spare:
            longest = max(spare, key=lambda each: now_s - each.used_s - each.spare_after_s)
            self._forget(longest.id, "session_evicted")

    def _forget(self, id: str, code: str) -> None:
        del self._open[id]
        self._gone[id] = code
        while len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)
