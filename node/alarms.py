"""Alarms: what people must hear of before they miss it, looked at every minute, said in the log, by mail and webhook.

The message names counts, times and the node; nothing of a patient. One that cannot be said is tried again every minute,
where it has not been heard yet, and of several processes one says it.
"""

import smtplib
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Final

from node import log
from node.domain.lifecycle import JobState
from node.errors import Retryable
from node.settings import AlarmSettings, MailSettings, Settings, WebhookSettings
from node.store.alarms import Alarm, AlarmKind
from node.stores import Stores

LOOKS_EVERY_S: Final = 60.0
ANSWERS_WITHIN_S: Final = 15.0
_OK: Final = 300

_SENTENCES: Final = {
    AlarmKind.NO_TRAFFIC: "No images have come in",
    AlarmKind.OLDEST_WAITING: "Cases wait for a worker",
    AlarmKind.ATTENTION: "Something waits for a person",
}


def look(stores: Stores, limits: AlarmSettings, now: datetime) -> dict[AlarmKind, str]:
    """What is wrong now, with a detail each."""
    return dict(_look(stores, limits, now))


def _look(stores: Stores, limits: AlarmSettings, now: datetime) -> Iterator[tuple[AlarmKind, str]]:
    last, oldest = stores.jobs.last_received(), stores.jobs.oldest_waiting()
    if limits.no_traffic_hours is not None and last and now - last > timedelta(hours=limits.no_traffic_hours):
        yield AlarmKind.NO_TRAFFIC, f"the last came {last:%Y-%m-%d %H:%M} UTC"
    if oldest and now - oldest > timedelta(minutes=limits.oldest_waiting_minutes):
        waiting = ", ".join(f"{count} in queue {queue.value}" for queue, count in stores.jobs.depth().items())
        yield AlarmKind.OLDEST_WAITING, f"the oldest since {oldest:%Y-%m-%d %H:%M} UTC; {waiting}"
    held, stuck = stores.jobs.counts()[JobState.QUARANTINED], len(stores.outbox.attention())
    if held or stuck:
        yield AlarmKind.ATTENTION, f"{held} cases are held, the results of {stuck} were not delivered: celadon status"


def check(stores: Stores, settings: Settings, now: datetime | None = None) -> None:
    """One round: look, write down, and say what nobody has said yet.

    Raises:
        Retryable: the database cannot be used now; what was taken and not said is said later.
    """
    stores.alarms.set(look(stores, settings.alarms, now or datetime.now(UTC)))
    for alarm in stores.alarms.take_untold():
        ways = _ways(alarm, settings)
        heard = _say(alarm, ways)
        if ways.keys() <= heard:
            stores.alarms.told(alarm)
        else:
            stores.alarms.put_back(alarm, heard)


def check_in_background(stores: Stores, settings: Settings, interval_s: float = LOOKS_EVERY_S) -> threading.Thread:
    """Check now and again every ``interval_s`` seconds, in a thread that ends with its process."""

    def run() -> None:
        pause = threading.Event()
        while True:
            try:
                check(stores, settings)
            except Exception as exc:  # noqa: BLE001 — a process does not stop working because it cannot raise an alarm
                words = str(exc) if isinstance(exc, Retryable) else type(exc).__name__
                log.get().error(log.ALARM_NOT_TOLD, error=words)
            pause.wait(interval_s)

    thread = threading.Thread(target=run, name="alarms", daemon=True)
    thread.start()
    return thread


def _say(alarm: Alarm, ways: Mapping[str, Callable[[], None]]) -> set[str]:
    """Say it wherever it was not heard yet; where it has been heard now."""
    heard = set(alarm.heard)
    for name in ways.keys() - heard:
        try:
            ways[name]()
        except Exception as exc:  # noqa: BLE001 — also an address that a library cannot read: it is not forgotten
            log.get().error(log.ALARM_NOT_TOLD, reason=alarm.kind.value, error=type(exc).__name__)
        else:
            heard.add(name)
    return heard


def _ways(alarm: Alarm, settings: Settings) -> dict[str, Callable[[], None]]:
    """Where an alarm is said, and how."""
    mail, webhook, node = settings.alarms.mail, settings.alarms.webhook, settings.dicom.ae_title
    ways: dict[str, Callable[[], None]] = {"log": lambda: _write(alarm)}
    if mail is not None:
        ways["mail"] = lambda: _mail(alarm, mail, node)
    if webhook is not None:
        ways["webhook"] = lambda: _post(alarm, webhook, node)
    return ways


def _write(alarm: Alarm) -> None:
    told = log.get().info if alarm.is_over else log.get().error
    told(log.ALARM_OVER if alarm.is_over else log.ALARM_RAISED, reason=alarm.kind.value, detail=alarm.detail)


def sentence(alarm: Alarm) -> str:
    """The alarm as a person reads it."""
    return f"{'Over: ' if alarm.is_over else ''}{_SENTENCES[alarm.kind]} ({alarm.detail})"


def _mail(alarm: Alarm, mail: MailSettings, node: str) -> None:
    """Send a mail (RFC 5321); with TLS unless the server is on this machine or nobody wants it."""
    message = EmailMessage()
    message["From"], message["To"] = mail.sender, ", ".join(mail.to)
    message["Subject"] = f"[{node}] {'over: ' if alarm.is_over else ''}{_SENTENCES[alarm.kind]}"
    message.set_content(f"{sentence(alarm)}\nsince {alarm.since:%Y-%m-%d %H:%M} UTC\n")
    with smtplib.SMTP(mail.host, mail.port, timeout=ANSWERS_WITHIN_S) as server:
        if mail.starttls:
            server.starttls(context=ssl.create_default_context(cafile=str(mail.ca) if mail.ca else None))
        if mail.user:
            server.login(mail.user, mail.password.get_secret_value())
        server.send_message(message)


def _post(alarm: Alarm, webhook: WebhookSettings, node: str) -> None:
    import httpx  # noqa: PLC0415  an HTTP client that most nodes never need

    token = webhook.token.get_secret_value()
    document = {
        "node": node,
        "alarm": alarm.kind.value,
        "state": "over" if alarm.is_over else "raised",
        "since": alarm.since.isoformat(),
        "text": sentence(alarm),
    }
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.post(webhook.url, json=document, headers=headers, timeout=ANSWERS_WITHIN_S)
    except httpx.HTTPError as exc:
        raise Retryable(f"webhook: {type(exc).__name__}") from exc
    if answer.status_code >= _OK:
        raise Retryable(f"webhook: HTTP {answer.status_code}")
