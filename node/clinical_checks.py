"""Whether the clinical sources work, each with the mend: what ``celadon clinical check`` prints."""

import json
import socket
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from node.clinical.registry import HL7, SOURCES
from node.errors import SourceSilent
from node.settings import Settings
from node.store.clinical_status import ClinicalStatus
from node.stores import Stores

CONNECT_WITHIN_S: Final = 5.0

_MENDS: Final = {
    "HTTP_400": "the server does not understand the search: ask its operators which parameters it supports",
    "HTTP_401": "clinical.fhir.token_url, client_id and client_secret: the server does not accept them",
    "HTTP_403": "clinical.fhir.scope: the client may not read this; or leave the kind out of clinical.fhir.resources",
    "HTTP_404": "clinical.fhir.base_url: there is no FHIR server at this path",
    "HTTP_429": "the server is asked too often: ask its operators for a higher limit",
    "TIMEOUT": "the server is slow: clinical.fhir.within_s allows it longer, and every analysis waits as long",
    "UNREACHABLE": "clinical.fhir.base_url, the network, the firewall, or clinical.fhir.ca: no connection",
    "NOT_JSON": "clinical.fhir.base_url: something answers that is no FHIR server, a proxy or a login page",
    "NOT_A_BUNDLE": "clinical.fhir.base_url: something answers that is no FHIR server",
    "TOO_LARGE": "an answer was larger than this node reads",
    "TOO_MANY_PAGES": "a search does not end: its operators should look",
    "FOREIGN_PAGE": "the server sends its clients to another address: clinical.fhir.base_url must be the one it names",
    "TOKEN_MISSING": "clinical.fhir.token_url: the answer holds no token",
    "PATIENT_AMBIGUOUS": "two patients have one number there: a person must merge or part them",
    "PATIENT_CONTRADICTED": "name, birth date or sex differ from the images: a person must say whose number it is",
}
"""What helps, by the code of a silent source."""


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, how it is, and what helps."""

    name: str
    verdict: Verdict
    detail: str
    mend: str = ""


def mend_of(code: str) -> str:
    """What helps against a source's silence; the code may have a kind of resource before it."""
    last = code.rsplit(" ", 1)[-1]
    if last.startswith("TOKEN_HTTP"):
        return "clinical.fhir.token_url, client_id and client_secret: no token was given for them"
    if last.startswith("HTTP_5"):
        return "the server is in trouble: its operators must look; analyses go on without it"
    return _MENDS.get(last, "")


def check_clinical(settings: Settings, stores: Stores) -> tuple[Check, ...]:
    """Every configured source, then what waits for people and what was refused."""
    known = stores.clinical.status()
    checks = [_source(name, settings, known) for name in settings.clinical.sources if name in SOURCES]
    if known.refused:
        told = "; ".join(f"{count} times {why}" for why, count in known.refused)
        checks.append(
            Check("messages", Verdict.WARN, f"refused in the last day: {told}", "the senders' operators must look")
        )
    if known.held:
        checks.append(
            Check("held values", Verdict.WARN, f"{known.held} wait for a person", "celadon clinical held lists them")
        )
    return tuple(checks)


def _source(name: str, settings: Settings, known: ClinicalStatus) -> Check:
    if name == "fhir":
        return _fhir(settings)
    if name == HL7:
        return _hl7(settings, known)
    return Check(name, Verdict.OK, "needs nothing")


def _fhir(settings: Settings) -> Check:
    """Asks for the server's CapabilityStatement (FHIR R4 section 3.1.0.13), with the token that a search would have."""
    wanted = settings.clinical.fhir
    if wanted is None:
        return Check("fhir", Verdict.OK, "not configured")
    from node.clinical.fhir_http import FhirHttp  # noqa: PLC0415 — an HTTP client that most commands never need

    began = time.monotonic()
    try:
        told = FhirHttp(wanted).get("metadata", None, began + wanted.within_s)
    except SourceSilent as exc:
        return Check("fhir", Verdict.FAIL, exc.code, mend_of(exc.code))
    version = str(told.get("fhirVersion", ""))[:16]
    if told.get("resourceType") != "CapabilityStatement" or not version.startswith("4."):
        return Check("fhir", Verdict.FAIL, f"FHIR {version or 'of no version'}", "clinical.fhir.base_url: R4 is needed")
    return Check("fhir", Verdict.OK, f"FHIR {version} answered in {time.monotonic() - began:.1f} s")


def _hl7(settings: Settings, known: ClinicalStatus) -> Check:
    wanted = settings.clinical.hl7
    if wanted is None:
        return Check(HL7, Verdict.OK, "not configured")
    port = wanted.port or _announced(settings)
    last = f"{known.messages} messages in the last day, the last "
    last += f"{known.last_message_at.astimezone():%Y-%m-%d %H:%M}" if known.last_message_at else "never"
    if port is None:
        return Check(HL7, Verdict.FAIL, f"nobody listens; {last}", "celadon up, or celadon clinical listen")
    try:
        socket.create_connection((wanted.host, port), CONNECT_WITHIN_S).close()
    except OSError as exc:
        detail = f"{wanted.host}:{port}: {exc.strerror or 'no answer'}; {last}"
        return Check(HL7, Verdict.FAIL, detail, "celadon up, or celadon clinical listen")
    return Check(HL7, Verdict.OK, f"{wanted.host}:{port} listens; {last}")


def _announced(settings: Settings) -> int | None:
    """The free port that a running node took."""
    try:
        port = json.loads(settings.runtime_file.read_text()).get("hl7")
    except (OSError, ValueError, AttributeError):
        return None
    return port if isinstance(port, int) else None
