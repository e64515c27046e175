"""Asking a FHIR server over HTTP: tokens, attempts, time and size; every failure is a short code.

Everything that a server sends is hostile: it may be HTML, endless, slow, or point to other servers. Redirects are not
followed, pages are fetched from the same server alone, and no answer is quoted.
"""

import json
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpx

from node.errors import SourceSilent
from node.settings import FhirSettings

LARGEST_BYTES: Final = 8_000_000
"""Of one answer."""
_AGAIN: Final = (429, 500, 502, 503, 504)
_UNAUTHORISED: Final = 401
_OK: Final = 200
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_TOKEN_MARGIN_S: Final = 30.0
_FHIR_JSON: Final = "application/fhir+json"


class FhirHttp:
    """One server; the token is kept until shortly before it expires."""

    def __init__(self, settings: FhirSettings) -> None:
        """Nothing connects until the first request."""
        self._settings = settings
        self._base = settings.base_url.rstrip("/") + "/"
        self._token = ""
        self._token_until_s = 0.0
        # A proxy or credentials from the environment would be a setting that nobody reads here.
        self._client = httpx.Client(
            verify=_verification(settings), trust_env=False, headers={"User-Agent": "celadon"}, follow_redirects=False
        )

    def get(self, url: str, params: Mapping[str, str | list[str]] | None, deadline_s: float) -> dict[str, Any]:
        """The JSON document at ``url`` (a path below the base, or a page of the same server).

        Raises:
            SourceSilent: there is none, with the reason as a code.
        """
        target = urljoin(self._base, url)
        if urlsplit(target)[:2] != urlsplit(self._base)[:2]:
            raise SourceSilent("FOREIGN_PAGE")
        pause_s, status = _FIRST_PAUSE_S, 0
        for attempt in range(self._settings.attempts):
            if attempt:
                _wait(pause_s, deadline_s)
            status, headers, content = self._once("GET", target, params, None, deadline_s)
            if status == _OK:
                return _document(headers, content)
            if status == _UNAUTHORISED and self._token:
                # It may have been withdrawn early: one new token, at once.
                self._token_until_s, pause_s = 0.0, 0.0
                self._token = ""
            elif status in _AGAIN:
                pause_s = min(_retry_after(headers) or pause_s * 2, _LONGEST_PAUSE_S)
            else:
                break
        raise SourceSilent(f"HTTP_{status}")

    def _once(
        self,
        method: str,
        url: str,
        params: Mapping[str, str | list[str]] | None,
        form: Mapping[str, str] | None,
        deadline_s: float,
    ) -> tuple[int, httpx.Headers, bytes]:
        left = deadline_s - time.monotonic()
        if left <= 0:
            raise SourceSilent("TIMEOUT")
        headers = {"Accept": "application/json" if form else _FHIR_JSON}
        if form is None and (token := self._bearer(deadline_s)):
            headers["Authorization"] = f"Bearer {token}"
        auth = (self._settings.client_id, self._settings.client_secret.get_secret_value()) if form else None
        try:
            with self._client.stream(
                method, url, params=params, data=form, headers=headers, auth=auth, timeout=left
            ) as answer:
                return answer.status_code, answer.headers, _body(answer, deadline_s)
        except httpx.TimeoutException as exc:
            raise SourceSilent("TIMEOUT") from exc
        except httpx.TransportError as exc:
            raise SourceSilent("UNREACHABLE") from exc
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
            raise SourceSilent("NOT_HTTP") from exc

    def _bearer(self, deadline_s: float) -> str:
        wanted = self._settings
        if wanted.token_url is None:
            return ""
        if time.monotonic() < self._token_until_s:
            return self._token
        form = {"grant_type": "client_credentials", "scope": wanted.scope}
        status, headers, content = self._once("POST", wanted.token_url, None, form, deadline_s)
        if status != _OK:
            raise SourceSilent(f"TOKEN_HTTP_{status}")
        document = _document(headers, content)
        token, lasts_s = document.get("access_token"), document.get("expires_in", 60)
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise SourceSilent("TOKEN_MISSING")
        lasts_s = lasts_s if isinstance(lasts_s, int | float) else 60
        self._token, self._token_until_s = token, time.monotonic() + max(0.0, lasts_s - _TOKEN_MARGIN_S)
        return self._token


def _body(answer: httpx.Response, deadline_s: float) -> bytes:
    content = bytearray()
    for chunk in answer.iter_bytes():
        content += chunk
        if len(content) > LARGEST_BYTES:
            raise SourceSilent("TOO_LARGE")
        if time.monotonic() > deadline_s:
            raise SourceSilent("TIMEOUT")
    return bytes(content)


def _document(headers: httpx.Headers, content: bytes) -> dict[str, Any]:
    if "json" not in headers.get("content-type", "").lower():
        raise SourceSilent("NOT_JSON")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise SourceSilent("NOT_JSON") from exc
    if not isinstance(document, dict):
        raise SourceSilent("NOT_JSON")
    return document


def _retry_after(headers: httpx.Headers) -> float | None:
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None  # noqa: PLR2004 — a day


def _wait(pause_s: float, deadline_s: float) -> None:
    if time.monotonic() + pause_s > deadline_s:
        raise SourceSilent("TIMEOUT")
    time.sleep(pause_s)


def _verification(settings: FhirSettings) -> Any:
    import ssl  # noqa: PLC0415 — only a site with its own authority needs it

    return ssl.create_default_context(cafile=settings.ca) if settings.ca else True
