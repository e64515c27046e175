"""HTTP to a FHIR server: attempts, time, and where requests may go; what an answer means is in test_fhir.py."""

import time
from collections.abc import Iterator

import pytest

from node.clinical.fhir_http import FhirHttp
from node.errors import SourceSilent
from node.settings import FhirSettings
from tests.fhir_server import Server, fhir_server

QUERY = {"identifier": "urn:oid:1.2.3|4711"}


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that holds nothing."""
    with fhir_server(Server()) as running:
        yield running


def client(server: Server, **settings: object) -> FhirHttp:
    """A client of it."""
    wanted = {"base_url": server.url, "identifier_system": "urn:oid:1.2.3"} | settings
    return FhirHttp(FhirSettings.model_validate(wanted))


def soon(seconds: float = 5.0) -> float:
    """A deadline."""
    return time.monotonic() + seconds


def test_an_answer_is_a_document(server: Server) -> None:
    """Below the base address, with the parameters escaped."""
    assert client(server).get("Patient", QUERY, soon())["resourceType"] == "Bundle"
    assert server.requests == ["/fhir/Patient?identifier=urn%3Aoid%3A1.2.3%7C4711"]


def test_attempts_are_as_many_as_configured(server: Server) -> None:
    """And no more."""
    server.fail_with = [503] * 9
    with pytest.raises(SourceSilent, match="HTTP_503"):
        client(server, attempts=3).get("Patient", QUERY, soon())
    assert len(server.requests) == 3


def test_no_attempt_begins_that_would_end_too_late(server: Server) -> None:
    """The pause before it counts."""
    server.fail_with = [503] * 9
    with pytest.raises(SourceSilent, match="TIMEOUT"):
        client(server, attempts=10).get("Patient", QUERY, soon(0.5))


def test_after_the_deadline_nobody_is_asked(server: Server) -> None:
    """Another request has used up the time."""
    with pytest.raises(SourceSilent, match="TIMEOUT"):
        client(server).get("Patient", QUERY, time.monotonic() - 1)
    assert server.requests == []


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/fhir/Patient", "http://127.0.0.1:1/fhir", "//elsewhere/x"])
def test_other_servers_are_not_asked(server: Server, url: str) -> None:
    """Whatever a page link says: another scheme, port or host."""
    with pytest.raises(SourceSilent, match="FOREIGN_PAGE"):
        client(server).get(url, None, soon())
