"""An archive that takes results by STOW-RS (PS3.18 section 10.5): one request for the objects of a job.

What the server answers is judged object by object: a request that was taken in part (202) or not at all (409) says of
each what became of it. What concerns the server and not the objects (it is away, busy, or does not let us in) passes.
"""

import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import httpx

from node.dicom.sending import verdict
from node.dicom.tls import client_context
from node.domain.lifecycle import DeliveryState
from node.domain.reporting import Delivery, DeliveryOutcome
from node.settings import StowSettings

_STORED, _PENDING, _FAILED = DeliveryState.STORED, DeliveryState.PENDING, DeliveryState.FAILED
_CHUNK_BYTES: Final = 1 << 20
_LARGEST_ANSWER_BYTES: Final = 16 << 20
_ALL, _SOME, _NONE = 200, 202, 409
_SPEAKS_OF_EACH: Final = (_ALL, _SOME, _NONE)
# Of the request as a whole (PS3.18 table 10.5.3-1, RFC 9110): some say something against what was sent, others pass.
_OF_ALL: Final = {
    400: (_FAILED, "the server cannot understand the request"),
    401: (_PENDING, "the server does not let us in"),
    403: (_PENDING, "the server does not let us in"),
    413: (_FAILED, "the server takes nothing that large"),
    415: (_FAILED, "the server does not take DICOM files"),
}
_REFERENCED, _FAILURES = "00081199", "00081198"
_INSTANCE, _REASON, _WARNING = "00081155", "00081197", "00081196"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a server said: the status, and of each instance what became of it."""

    status: int
    told: Mapping[str, tuple[DeliveryState, str]]
    is_readable: bool


class StowDestination:
    """One configured server; implements ``node.domain.ports.Destination``."""

    def __init__(self, name: str, settings: StowSettings) -> None:
        """``name``: as configured. UsageError when its TLS files cannot be used."""
        self.name = name
        self._settings = settings
        self._verify = _verification(settings)

    def deliver(self, deliveries: Sequence[Delivery]) -> tuple[DeliveryOutcome, ...]:
        """Store the objects with one request; a server that is away makes every outcome PENDING.

        Some servers refuse a whole request for one object: then each is sent alone, and the others are stored.
        """
        outcomes = self._request(deliveries)
        if len(deliveries) > 1 and all(one.state is _FAILED for one in outcomes):
            return tuple(outcome for one in deliveries for outcome in self._request([one]))
        return outcomes

    def _request(self, deliveries: Sequence[Delivery]) -> tuple[DeliveryOutcome, ...]:
        try:
            answer = self._post(deliveries)
        except httpx.TimeoutException:
            return _all(deliveries, _PENDING, "the server did not answer in time")
        except httpx.HTTPError as exc:
            return _all(deliveries, _PENDING, f"no connection to the server: {type(exc).__name__}")
        except OSError as exc:
            return _all(deliveries, _PENDING, f"an object cannot be read: {exc.strerror}")
        if answer.status in _SPEAKS_OF_EACH:
            return tuple(_outcome(one, answer) for one in deliveries)
        state, sentence = _OF_ALL.get(answer.status, (_PENDING, "the server cannot take it now"))
        return _all(deliveries, state, f"{sentence} (HTTP {answer.status})")

    def _post(self, deliveries: Sequence[Delivery]) -> _Answer:
        settings = self._settings
        parts = _Multipart(deliveries)
        headers = {
            "Accept": "application/dicom+json",
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={parts.boundary}',
            "Content-Length": str(parts.length),
        }
        if token := settings.token.get_secret_value():
            headers["Authorization"] = f"Bearer {token}"
        auth = (settings.user, settings.password.get_secret_value()) if settings.user else None
        # A proxy or credentials from the environment would be a setting that nobody reads here.
        with (
            httpx.Client(verify=self._verify, trust_env=False, timeout=settings.timeout_s) as client,
            client.stream("POST", settings.stow_url, content=iter(parts), headers=headers, auth=auth) as response,
        ):
            return _read(response)


class _Multipart:
    """The body of a request (PS3.18 section 8.6.1.2): a part a file, read while it is sent."""

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        self.boundary = uuid4().hex
        self._paths = [one.path for one in deliveries]
        self._head = f"--{self.boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        self._end = f"--{self.boundary}--\r\n".encode()
        files = sum(path.stat().st_size for path in self._paths)
        self.length = files + len(self._paths) * (len(self._head) + 2) + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        for path in self._paths:
            yield self._head
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
            yield b"\r\n"
        yield self._end


def _verification(settings: StowSettings) -> ssl.SSLContext | bool:
    tls = settings.tls
    return client_context(tls.ca, tls.certificate, tls.key) if tls else True


def _all(deliveries: Sequence[Delivery], state: DeliveryState, detail: str) -> tuple[DeliveryOutcome, ...]:
    return tuple(DeliveryOutcome(one.object_uid, state, detail) for one in deliveries)


def _outcome(one: Delivery, answer: _Answer) -> DeliveryOutcome:
    if one.object_uid in answer.told:
        return DeliveryOutcome(one.object_uid, *answer.told[one.object_uid])
    if answer.status == _ALL and not answer.is_readable:
        # It has stored everything (PS3.18 table 10.5.3-1), whatever form it says so in.
        return DeliveryOutcome(one.object_uid, _STORED, "")
    if answer.is_readable:
        return DeliveryOutcome(one.object_uid, _PENDING, "the server's answer does not speak of it")
    detail = f"the server refused something and did not say what in a way that can be read (HTTP {answer.status})"
    return DeliveryOutcome(one.object_uid, _FAILED, detail)


def _read(response: httpx.Response) -> _Answer:
    content = bytearray()
    if response.status_code in _SPEAKS_OF_EACH:
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > _LARGEST_ANSWER_BYTES:
                content.clear()
                break
    try:
        document: Any = json.loads(bytes(content))
        told = _told(document[0] if isinstance(document, list) else document)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return _Answer(response.status_code, {}, is_readable=False)
    return _Answer(response.status_code, told, is_readable=True)


def _told(document: dict[str, Any]) -> dict[str, tuple[DeliveryState, str]]:
    """Instance to what became of it (PS3.18 table 10.5.3-2, DICOM JSON)."""
    told: dict[str, tuple[DeliveryState, str]] = {}
    for item in document.get(_REFERENCED, {}).get("Value", ()):
        warning = item.get(_WARNING, {}).get("Value", [0x0000])[0]
        told[item[_INSTANCE]["Value"][0]] = (_STORED, verdict(int(warning))[1] if warning else "")
    for item in document.get(_FAILURES, {}).get("Value", ()):
        # Failure Reason has the values of the C-STORE status (PS3.18 section I.2).
        state, sentence = verdict(int(item.get(_REASON, {}).get("Value", [0x0110])[0]))
        told[item[_INSTANCE]["Value"][0]] = (_FAILED if state is _STORED else state, sentence)
    return told
