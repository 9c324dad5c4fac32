"""Who may use the page: whoever has the token of the QR code, kept in a cookie; and the headers of every answer."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

COOKIE = "ferry_operator"
TOKEN_FILE = "token"
HEADER = "x-ferry"
"""Every POST carries it: another site cannot make a browser send it."""
DAY_S = 86400
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def token_of(folder: Path) -> str:
    """Returns the page's token, kept in the folder so that a phone stays joined when the server is started again."""
    path = folder / TOKEN_FILE
    if not path.exists() or not path.read_text(encoding="ascii").strip():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(16), encoding="ascii")
    return path.read_text(encoding="ascii").strip()


class Guarded:
    """Lets only those in who joined with the token; adds the headers.

    Args:
        app: behind it.
        token: in the address `/join/TOKEN` that the QR code holds.
    """

    def __init__(self, app: App, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        request = Request(scope)
        answer = self._join(request) if request.url.path.startswith("/join/") else self._refusal(request)
        await (answer or self._app)(scope, receive, with_headers)

    def _join(self, request: Request) -> Response:
        if not self._is_right(request.url.path.removeprefix("/join/")):
            return PlainTextResponse("this code is not, or no longer, the one in the terminal: scan it again", 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, self._token, max_age=30 * DAY_S, httponly=True, samesite="lax")
        return answer

    def _refusal(self, request: Request) -> Response | None:
        if not self._is_right(request.cookies.get(COOKIE, "")):
            return PlainTextResponse("scan the QR code in the terminal of `ferry trials run` to open this page", 403)
        if request.method == "POST" and request.headers.get(HEADER) != "1":
            return JSONResponse({"error": {"code": "forged", "message": "not sent by the page"}}, 403)
        return None

    def _is_right(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())
