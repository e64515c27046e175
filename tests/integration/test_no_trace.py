"""A patient who appears nowhere: five hundred failures with a canary in every text, and not a trace of it.

Logs, metrics, tracebacks, answers of the page, reasons of jobs, the audit trail. The canary may stand in the tables
that are made for it, in the files of the objects, and nowhere else. There is no broker: workers are told nothing but
what they read from the database.
"""

import itertools
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy.exc import IntegrityError

from node import log
from node.domain.reasons import ReasonCode
from node.errors import Fatal, NoRoom, Quarantined, Refused, Retryable, StorageFailed, UsageError
from node.web.site import Site
from tests import factories
from tests.fakes import raising
from tests.page import Browser, PageUnderTest, furnished, open_page
from tests.unit.workers.test_analysis import Site as Node

CANARY = "Xyzzyq^Canaria"
# As long as an accession number may be: fewer digits stand in a time or an identifier by chance, now and then.
NUMBER = "CANARY7041938256"
BIRTH_DATE = "19170417"
WORDS = ("Xyzzyq", "Canaria", "CANARY", "7041938256", BIRTH_DATE)
HEADER = {
    "PatientName": CANARY, "PatientID": NUMBER, "AccessionNumber": NUMBER, "PatientBirthDate": BIRTH_DATE,
    "SeriesDescription": CANARY, "StudyDescription": CANARY, "ProtocolName": CANARY, "StationName": NUMBER,
    "InstitutionName": CANARY,
}  # fmt: skip
ANALYSES, REQUESTS = 220, 280


def errors() -> list[Callable[[], BaseException]]:
    """Everything that a library or we may raise, quoting what it was at."""
    words = f"cannot handle {CANARY} ({NUMBER})"
    statement = f"INSERT INTO series VALUES ('{CANARY}')"  # noqa: S608 — a text in a message
    return [
        lambda: ValueError(words),
        lambda: KeyError(NUMBER),
        lambda: UnicodeDecodeError("ascii", CANARY.encode(), 0, 1, words),
        lambda: RuntimeError(words),
        lambda: AssertionError(words),
        lambda: OSError(5, words, f"/data/{NUMBER}"),
        lambda: MemoryError(words),
        lambda: RecursionError(words),
        lambda: ZeroDivisionError(words),
        lambda: IntegrityError(statement, {"name": CANARY}, Exception("constraint"), hide_parameters=True),
    ]


def ours() -> list[Callable[[], BaseException]]:
    """Errors of our own, which name settings and files and never a patient."""
    return [
        lambda: Refused(ReasonCode.ROI_NOT_FOUND),
        lambda: Quarantined(ReasonCode.UNDECODABLE, "slice 3"),
        lambda: Retryable("not now"),
        lambda: NoRoom("no room"),
        lambda: StorageFailed("the disk"),
        lambda: Fatal("a setting"),
        lambda: UsageError("a setting"),
    ]


def hits(text: str) -> list[str]:
    """What of the canary is in a text, each with what stands about it."""
    found = ((word, text.lower().find(word.lower())) for word in WORDS)
    return [f"{word}: {text[max(0, at - 80) : at + 80]}" for word, at in found if at >= 0]


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Everything that this process has written since: its log as it is when it serves, and what others print."""
    with capfd.disabled():
        before = structlog.get_config()
    log.configure("failing")

    def read() -> str:
        output = capfd.readouterr()
        return output.out + output.err

    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(file=sys.stderr))
    yield read
    structlog.configure(**before)


def test_failures_of_analyses_tell_nothing(
    tmp_path: Path, told: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every step that can fail, with everything that can be raised there."""
    printed: list[str] = []
    monkeypatch.setattr(sys, "excepthook", lambda *raised: printed.append("".join(traceback.format_exception(*raised))))
    node = Node(tmp_path)
    raised = itertools.cycle([*errors(), *ours()])
    hooked: list[Any] = [node.segmenter, node.predictor, node.source, node.writer]
    states = []
    for number in range(ANALYSES):
        series = f"2.25.82{number:04}"
        one = hooked[number % len(hooked)]
        for other in hooked:
            other.hook = raising(next(raised)()) if other is one else lambda: None
        # Each in a study of its own: what is chosen among the series of one study is not what fails here.
        node.receive(*factories.ct_slices(3, series=series, StudyInstanceUID=f"2.25.83{number:04}", **HEADER))
        node.complete(series)  # type: ignore[arg-type]  # a UID
        job = node.job(node.run().job_id)
        states.append(job.state.value)
        kept = [job.reason, job.detail]
        kept += [repr(event) for event in node.trail(job)]
        kept += [repr(step) for step in node.stores.jobs.steps(job.job_id)]
        assert hits(" ".join(kept)) == [], kept
        with node.stores.database.write() as connection:
            # What was given back is not tried again here.
            connection.exec_driver_sql("UPDATE jobs SET not_before = '2999-01-01' WHERE state = 'waiting'")
    logged = told()
    assert len(logged.splitlines()) >= ANALYSES
    assert len(set(states)) >= 3
    assert hits(logged + "".join(printed)) == []


def failing(site: Site, where: str, error: BaseException) -> None:
    """Have a part of the store raise."""
    room, name = where.split(".")
    store = getattr(site.stores, room)

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    assert hasattr(store, name)
    object.__setattr__(site, "stores", _replaced(site.stores, room, _Failing(store, name, fail)))


class _Failing:
    """A room of the store, one of whose doors is broken."""

    def __init__(self, room: Any, name: str, fail: Callable[..., Any]) -> None:
        self._room, self._name, self._fail = room, name, fail

    def __getattr__(self, name: str) -> Any:
        return self._fail if name == self._name else getattr(self._room, name)


def _replaced(stores: Any, room: str, value: Any) -> Any:
    copy = object.__new__(type(stores))
    for name in stores.__dataclass_fields__:
        object.__setattr__(copy, name, value if name == room else getattr(stores, name))
    return copy


@pytest.fixture
def page(tmp_path: Path) -> PageUnderTest:
    """A page on which the canary is a patient."""
    made = furnished(open_page(tmp_path, requests_per_minute=10**6))
    with made.stores.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE series SET patient_name = ?, patient_id = ?, accession = ?, description = ?, search = ?",
            (CANARY, NUMBER, NUMBER, CANARY, f"{CANARY} {NUMBER}".lower()),
        )
    return made


def test_failures_of_the_page_tell_nothing(page: PageUnderTest, told: Callable[[], str]) -> None:
    """Bodies, headers, paths and parameters with the canary; stores that break while they are at it."""
    whole, job = page.site.stores, page.jobs["analysed"]
    client = page.client(raise_server_exceptions=False)
    browser = Browser(client)
    doors = itertools.cycle(
        ("worklist.page", "worklist.line", "findings.of", "jobs.steps", "verdicts.of", "clinical.of", "results.of")
    )
    raised = itertools.cycle([*errors(), lambda: Retryable("database: locked")])
    failures = 0
    for number in range(REQUESTS):
        object.__setattr__(page.site, "stores", whole)
        failing(page.site, next(doors), next(raised)())
        asked = number % 7
        answers = {
            0: lambda: client.get("/", params={"state": NUMBER}),
            1: lambda: client.get(f"/jobs/{job}"),
            2: lambda: client.get(f"/api/v1/jobs/{job}"),
            3: lambda: client.get(f"/api/v1/clinical/{NUMBER}", params={"issuer": CANARY}),
            4: lambda: browser.post("/", text=NUMBER),
            5: lambda: client.post(f"/api/v1/jobs/{job}/feedback", json={"kind": CANARY, "reason": {"x": CANARY}}),
            6: lambda: client.get("/api/v1/jobs", params={"patient": NUMBER, "limit": CANARY}),
        }
        answer = answers[asked]()
        if answer.status_code >= 400:
            failures += 1
            # An answer of its own may name the path that was asked for; none says more.
            assert hits(answer.text) == [], (answer.status_code, answer.text[:300])
    object.__setattr__(page.site, "stores", whole)
    metrics = client.get("/metrics").text
    trail = repr(page.stores.audit.events())
    assert failures > REQUESTS // 2
    assert hits(metrics) == []
    assert hits(trail) == []
    logged = told()
    assert "request failed" in logged
    assert [line for line in logged.splitlines() if hits(line)] == []
    assert "celadon_jobs" in metrics


def test_a_database_that_fails_quotes_nothing_that_it_was_given(tmp_path: Path) -> None:
    """Neither statement nor parameters go on with the error."""
    page = open_page(tmp_path)
    said = []
    for number in range(10):
        with pytest.raises(Retryable) as raised, page.stores.database.write() as connection:
            connection.exec_driver_sql(f"SELECT '{CANARY}' FROM nothing_{number}")  # noqa: S608 — made to fail
        said.append(str(raised.value) + "".join(traceback.format_exception(raised.value)[-1:]))
    assert hits("".join(said)) == []


def test_the_canary_would_be_seen(capfd: pytest.CaptureFixture[str]) -> None:
    """A line that quotes it is found, in whatever case."""
    logging.getLogger("somebody").error(CANARY)
    print(NUMBER.lower(), file=sys.stderr)  # noqa: T201 — that is the point
    assert hits(capfd.readouterr().err)
