"""What every answer carries, and which requests are answered at all: headers, hosts, rates."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.settings import WebSettings
from node.web.limits import RateLimit

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
)
"""Nothing inline, nothing from elsewhere: what a header field of an image says can never run."""
HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
LARGEST_BODY: Final = 64 * 1024
"""Bytes: forms and verdicts are small."""
_STATIC: Final = "/static/"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class Guard:
    """An ASGI layer around the whole application."""

    def __init__(self, app: ASGIApp, settings: WebSettings, limit: RateLimit) -> None:
        """``limit``: of requests, by address."""
        self._app = app
        self._settings = settings
        self._limit = limit
        self._hosts = frozenset(_hosts(settings))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse to."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._dress(MutableHeaders(scope=message), scope["path"])
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, with_headers)
        else:
            await self._app(scope, _bounded(receive), with_headers)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        # A page elsewhere whose name resolves to this machine would be of our origin otherwise (DNS rebinding).
        if self._hosts and _host(headers.get("host", "")) not in self._hosts:
            return PlainTextResponse("This is not a name of this node.", 421)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            return PlainTextResponse("That is too much.", 413)
        address = scope["client"][0] if scope.get("client") else ""
        if not self._limit.take(address):
            return PlainTextResponse("Too many requests; try again in a minute.", 429, {"retry-after": "60"})
        if "\x00" in scope["path"]:
            return PlainTextResponse("There is no such page.", 404)  # no database takes it as a text
        return None

    def _dress(self, headers: MutableHeaders, path: str) -> None:
        for name, value in HEADERS.items():
            headers[name] = value
        if self._settings.is_https:
            headers["strict-transport-security"] = "max-age=31536000"
        if not path.startswith(_STATIC):
            # Everything else may tell of a patient, and workstations are shared.
            headers["cache-control"] = "no-store"


def _bounded(receive: Receive) -> Receive:
    """``receive``, which hands out no more than the largest body, whatever its length was said to be."""
    left = LARGEST_BODY

    async def bounded() -> Message:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                return {"type": "http.disconnect"}
        return message

    return bounded


def _host(value: str) -> str:
    """The name in a Host header (RFC 9110 section 7.2), without its port."""
    try:
        return urlsplit(f"//{value}").hostname or ""
    except ValueError:
        return ""


def _hosts(settings: WebSettings) -> Iterable[str]:
    """The names that this node answers to; none: any, where it is reached in ways that nobody has listed."""
    if settings.public_url:
        return {urlsplit(settings.public_url).hostname or "", *_LOOPBACK}
    return _LOOPBACK if settings.is_local else ()
