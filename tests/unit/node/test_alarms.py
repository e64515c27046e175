"""Alarms: raised when something is missed, said once by one of several processes, to a real mail server and webhook."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from node import alarms as alarms_module
from node.alarms import check, look
from node.domain.lifecycle import JobState
from node.domain.reasons import Reason, ReasonCode
from node.errors import Retryable
from node.settings import AlarmSettings, Settings
from node.store.alarms import LEASE, Alarm, AlarmKind, AlarmStore
from node.store.session import Database
from node.stores import Stores
from tests.factories import SERIES, ct_slices, event, received
from tests.unit.node.store.conftest import Clock

LATER = timedelta(days=2)


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """A node that has received a series, which waits."""
    settings = Settings(data_dir=tmp_path)
    Database(settings.url).upgrade()
    opened = Stores.open(settings)
    for one in ct_slices(2):
        opened.inbox.accept(received(one))
    assert opened.jobs.complete(SERIES, "test", 2)
    return opened


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class Mailbox:
    """A mail server's handler that keeps what it is given."""

    def __init__(self) -> None:
        """Empty."""
        self.mails: list[Envelope] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 — aiosmtpd's signature
        """Take one."""
        self.mails.append(envelope)
        return "250 OK"


@contextmanager
def mail_server(mailbox: Mailbox) -> Iterator[int]:
    """A real SMTP server; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@contextmanager
def webhook(answers: list[int]) -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """A real HTTP server that gives each answer in turn; its address, and what was posted with which authorisation."""
    posted: list[tuple[str, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append((self.headers.get("Authorization", ""), json.loads(body)))
            self.send_response(answers.pop(0))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", posted
    finally:
        server.shutdown()
        server.server_close()


def test_nothing_is_wrong_with_a_node_at_work(stores: Stores) -> None:
    """An image a moment ago, a case that has just begun to wait."""
    assert look(stores, AlarmSettings(), now()) == {}


def test_silence_and_waiting_are_alarms_after_their_time(stores: Stores) -> None:
    """Each with what it was, and nothing of a patient."""
    found = look(stores, AlarmSettings(), now() + LATER)
    assert found.keys() == {AlarmKind.NO_TRAFFIC, AlarmKind.OLDEST_WAITING}
    assert "1 in queue cpu" in found[AlarmKind.OLDEST_WAITING]
    assert AlarmKind.NO_TRAFFIC not in look(stores, AlarmSettings(no_traffic_hours=None), now() + LATER)


def test_a_node_that_never_had_traffic_misses_none(tmp_path: Path) -> None:
    """It was installed today."""
    settings = Settings(data_dir=tmp_path)
    Database(settings.url).upgrade()
    assert look(Stores.open(settings), AlarmSettings(), now() + LATER) == {}


def test_what_waits_for_a_person_is_an_alarm_at_once(stores: Stores) -> None:
    """Somebody discovered it days later, where it was none."""
    claim = stores.jobs.claim("worker")
    assert claim is not None
    assert stores.jobs.finish(claim, JobState.QUARANTINED, Reason(ReasonCode.INTERNAL), event(job_id=claim.job_id))
    assert look(stores, AlarmSettings(), now()).keys() == {AlarmKind.ATTENTION}


def test_an_alarm_is_mailed_and_posted_once_and_so_is_its_end(stores: Stores, tmp_path: Path) -> None:
    """However often it is looked at, and by however many."""
    mailbox = Mailbox()
    with mail_server(mailbox) as port, webhook([200] * 9) as (url, posted):
        mail = {"host": "127.0.0.1", "port": port, "sender": "n@h.test", "to": ["a@h.test"], "starttls": False}
        alarms = {"mail": mail, "webhook": {"url": url, "token": "t"}, "no_traffic_hours": None}
        settings = Settings.model_validate({"data_dir": tmp_path, "alarms": alarms})
        for _ in range(3):
            check(stores, settings, now() + LATER)
        check(Stores.open(settings), settings, now() + LATER)
        assert [one.kind for one in stores.alarms.raised()] == [AlarmKind.OLDEST_WAITING]
        assert len(mailbox.mails) == len(posted) == 1
        check(stores, settings, now())
        check(stores, settings, now())
    assert stores.alarms.raised() == ()
    assert [one["state"] for _, one in posted] == ["raised", "over"]
    assert posted[0][0] == "Bearer t"
    assert posted[0][1]["alarm"] == "oldest-waiting"
    raised, over = (mail.content.decode() for mail in mailbox.mails)
    assert "Subject: [CELADON] Cases wait for a worker" in raised
    assert "Subject: [CELADON] over: Cases wait for a worker" in over
    assert SERIES not in raised + over


def test_an_alarm_that_nobody_took_is_said_again(stores: Stores, tmp_path: Path) -> None:
    """A webhook that is being restarted loses none."""
    with webhook([503, 200]) as (url, posted):
        alarms = {"webhook": {"url": url}, "no_traffic_hours": None}
        settings = Settings.model_validate({"data_dir": tmp_path, "alarms": alarms})
        for _ in range(3):
            check(stores, settings, now() + LATER)
    assert len(posted) == 2


def test_a_webhook_that_is_down_has_nobody_mailed_every_minute(stores: Stores, tmp_path: Path) -> None:
    """It is tried again alone, until it has taken the alarm."""
    mailbox = Mailbox()
    with mail_server(mailbox) as port, webhook([503, 503, 200]) as (url, posted):
        mail = {"host": "127.0.0.1", "port": port, "sender": "n@h.test", "to": ["a@h.test"], "starttls": False}
        alarms = {"mail": mail, "webhook": {"url": url}, "no_traffic_hours": None}
        settings = Settings.model_validate({"data_dir": tmp_path, "alarms": alarms})
        for _ in range(4):
            check(stores, settings, now() + LATER)
    assert (len(mailbox.mails), len(posted)) == (1, 3)


def test_the_end_of_an_alarm_reaches_whoever_heard_it(stores: Stores, tmp_path: Path) -> None:
    """Also when a webhook never did, and whichever process sees the end."""
    mailbox = Mailbox()
    with mail_server(mailbox) as port, webhook([503, 200]) as (url, posted):
        mail = {"host": "127.0.0.1", "port": port, "sender": "n@h.test", "to": ["a@h.test"], "starttls": False}
        alarms = {"mail": mail, "webhook": {"url": url}, "no_traffic_hours": None}
        settings = Settings.model_validate({"data_dir": tmp_path, "alarms": alarms})
        check(stores, settings, now() + LATER)
        check(Stores.open(settings), settings, now())
    assert [one["state"] for _, one in posted] == ["raised", "over"]
    assert ["over: " in mail.content.decode() for mail in mailbox.mails] == [False, True]


def test_a_database_that_goes_away_while_an_alarm_is_said_loses_none(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said when nobody can be saying it any more, and so are those whose turn had not come."""
    clock, said = Clock(), list[AlarmKind]()
    stores = replace(stores, alarms=AlarmStore(stores.database, clock))
    settings = Settings.model_validate({"data_dir": tmp_path, "alarms": {"webhook": {"url": "https://hook.test/"}}})

    def post(alarm: Alarm, *_: object) -> None:
        said.append(alarm.kind)
        if len(said) == 1:
            raise Retryable("webhook: HTTP 503")

    def gone(*_: object) -> None:
        raise Retryable("database: gone")

    monkeypatch.setattr(alarms_module, "_post", post)
    with monkeypatch.context() as outage:
        outage.setattr(stores.alarms, "put_back", gone)
        with pytest.raises(Retryable):
            check(stores, settings, now() + LATER)
    check(stores, settings, now() + LATER)
    assert len(said) == 1
    clock.now_s += LEASE.total_seconds() + 1
    check(stores, settings, now() + LATER)
    assert said == [AlarmKind.NO_TRAFFIC, AlarmKind.NO_TRAFFIC, AlarmKind.OLDEST_WAITING]


def test_whatever_keeps_an_alarm_from_being_said_it_is_said_again(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what no library of ours promises to raise, and every other alarm of the round."""
    settings = Settings.model_validate({"data_dir": tmp_path, "alarms": {"webhook": {"url": "https://hook.test/"}}})
    said: list[AlarmKind] = []

    def post(alarm: Alarm, *_: object) -> None:
        said.append(alarm.kind)
        if len(said) <= 2:
            raise ValueError("no address")

    monkeypatch.setattr(alarms_module, "_post", post)
    for _ in range(3):
        check(stores, settings, now() + LATER)
    assert sorted(said) == sorted([AlarmKind.NO_TRAFFIC, AlarmKind.OLDEST_WAITING] * 2)


def test_secrets_leave_only_over_tls_or_on_loopback() -> None:
    """A password in the clear is a setting that is refused."""
    mail = {"host": "mail.example", "sender": "a@b", "to": ["c@d"], "user": "u", "starttls": False}
    with pytest.raises(ValueError, match="starttls"):
        AlarmSettings.model_validate({"mail": mail})
    with pytest.raises(ValueError, match="https"):
        AlarmSettings.model_validate({"webhook": {"url": "http://hook.example/"}})
