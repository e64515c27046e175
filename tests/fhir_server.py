"""A strict FHIR R4 server for tests: validates what it is asked and what it holds, and misbehaves on request.

What a server that others wrote makes of the same questions, ``tests.medplum`` tells.
"""

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.condition import Condition
from fhir.resources.R4B.diagnosticreport import DiagnosticReport
from fhir.resources.R4B.observation import Observation
from fhir.resources.R4B.patient import Patient

CLIENT: Final = ("celadon", "secret")
SEARCHES: Final = {
    "Patient": {"identifier"},
    "Observation": {"patient", "code", "date", "_sort", "_count", "page"},
    "Condition": {"patient", "_count", "page"},
    "DiagnosticReport": {"patient", "date", "_sort", "_count", "page"},
}
KINDS: Final = {
    "Patient": Patient,
    "Observation": Observation,
    "Condition": Condition,
    "DiagnosticReport": DiagnosticReport,
}


@dataclass
class Server:
    """What the server holds, and how it behaves."""

    resources: list[dict[str, Any]] = field(default_factory=list)
    page_size: int = 200
    needs_token: bool = False
    forbidden: tuple[str, ...] = ()
    """Kinds that a client may not see."""
    fail_with: list[int] = field(default_factory=list)
    """Statuses that the next requests are answered with, one each."""
    answer_with: tuple[str, bytes] | None = None
    """Content type and body that every search is answered with."""
    slow_s: float = 0.0
    next_url: str = ""
    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What was wrong with requests."""
    tokens: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, resource: dict[str, Any]) -> None:
        """Hold a resource, which must be valid."""
        KINDS[resource["resourceType"]].model_validate(resource)
        self.resources.append(resource)

    def search(self, kind: str, query: dict[str, list[str]]) -> dict[str, Any]:
        """A page of what is found, as a valid bundle."""
        found = [one for one in self.resources if one["resourceType"] == kind and _matches(one, query)]
        if query.get("_sort") == ["-date"]:
            found.sort(key=lambda one: one.get("effectiveDateTime", ""), reverse=True)
        page = int(query.get("page", ["0"])[0])
        size = min(self.page_size, int(query.get("_count", ["200"])[0]))
        shown = found[page * size : (page + 1) * size]
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
        if shown:
            bundle["entry"] = [{"resource": one, "search": {"mode": "match"}} for one in shown]
        if (page + 1) * size < len(found) or self.next_url:
            again = urlencode([*((k, v) for k, vs in query.items() if k != "page" for v in vs), ("page", page + 1)])
            bundle["link"] = [{"relation": "next", "url": self.next_url or f"{self.url}/{kind}?{again}"}]
        Bundle.model_validate(bundle)
        return bundle


def _matches(resource: dict[str, Any], query: dict[str, list[str]]) -> bool:
    if "identifier" in query:
        system, _, value = query["identifier"][0].partition("|")
        return {"system": system, "value": value} in resource.get("identifier", [])
    if resource.get("subject", {}).get("reference") != f"Patient/{query['patient'][0]}":
        return False
    if "code" in query:
        codes = query["code"][0].split(",")
        parts = [resource, *resource.get("component", [])]
        named = [f"{one['system']}|{one['code']}" for part in parts for one in part["code"].get("coding", [])]
        if not set(named) & set(codes):
            return False
    day = resource.get("effectiveDateTime", "")[:10]
    limits = query.get("date", [])
    return all((day >= limit[2:]) if limit.startswith("ge") else (day <= limit[2:]) for limit in limits)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Header and body go out one after the other: the second would wait 40 ms for an acknowledgement of the first.
    disable_nagle_algorithm = True
    server: "_HttpServer"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Give a token."""
        here = self.server.state
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        expected = base64.b64encode(":".join(CLIENT).encode()).decode()
        if self.headers.get("Authorization") != f"Basic {expected}" or form.get("grant_type") != ["client_credentials"]:
            here.problems.append("token request")
            self._send(401, "application/json", b"{}")
            return
        here.tokens.append(f"token-{len(here.tokens)}")
        answer = {"access_token": here.tokens[-1], "token_type": "bearer", "expires_in": 3600}
        self._send(200, "application/json", json.dumps(answer).encode())

    def do_GET(self) -> None:
        """Answer a search."""
        here, url = self.server.state, urlsplit(self.path)
        here.requests.append(self.path)
        kind, query = url.path.removeprefix("/fhir/"), parse_qs(url.query)
        if here.slow_s:
            time.sleep(here.slow_s)
        if here.fail_with:
            self._send(here.fail_with.pop(0), "text/html", b"<html>Doe^Jane is not here</html>")
            return
        if here.needs_token and self.headers.get("Authorization") != f"Bearer {(here.tokens or ['none'])[-1]}":
            self._send(401, "application/fhir+json", b"{}")
            return
        if kind in here.forbidden:
            self._send(403, "application/fhir+json", b'{"resourceType": "OperationOutcome"}')
            return
        if here.answer_with is not None:
            self._send(200, *here.answer_with)
            return
        if (fault := _fault(kind, query, self.headers.get("Accept", ""))) is not None:
            here.problems.append(fault)
            self._send(400, "application/fhir+json", b'{"resourceType": "OperationOutcome"}')
            return
        self._send(200, "application/fhir+json; charset=utf-8", json.dumps(here.search(kind, query)).encode())

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        with contextlib.suppress(ConnectionError):  # who asked has heard enough
            self.end_headers()
            self.wfile.write(body)


def _fault(kind: str, query: dict[str, list[str]], accept: str) -> str | None:
    if kind not in SEARCHES:
        return f"unknown resource {kind}"
    if unknown := set(query) - SEARCHES[kind]:
        return f"unknown parameters {unknown}"
    if kind == "Observation" and not {"patient", "code", "date"} <= set(query):
        return "a search without patient, code or date"
    return None if "application/fhir+json" in accept else "no FHIR is accepted"


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    state: Server


@contextmanager
def fhir_server(state: Server) -> Iterator[Server]:
    """The server on a free loopback port, its ``url`` set."""
    server = _HttpServer(("127.0.0.1", 0), _Handler)
    server.state = state
    state.url = f"http://127.0.0.1:{server.server_port}/fhir"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
