"""The doorbell: says which queue and which job, to a real Redis, and keeps nobody waiting when there is none."""

import json
import threading
import time
from collections.abc import Iterator

import pytest

from node import doorbell
from node.domain.identifiers import JobId
from node.domain.lifecycle import Queue
from node.doorbell import LOUD_ENOUGH, NAMES, TASK, Doorbell, message
from tests.servers import PrivateRedis, running_redis

JOB = JobId("0123456789abcdef")


@pytest.fixture(scope="module")
def redis() -> Iterator[PrivateRedis]:
    """One Redis for all tests of this file."""
    with running_redis() as server:
        yield server


@pytest.fixture
def bell(redis: PrivateRedis) -> Iterator[Doorbell]:
    """A doorbell over a Redis that knows nothing yet."""
    redis.say("FLUSHALL")
    one = Doorbell(redis.url)
    yield one
    one.close()


def length(redis: PrivateRedis, queue: Queue) -> int:
    """How many rings wait in a queue."""
    return int(redis.say(f"LLEN {NAMES[queue]}").removeprefix(":"))


def wait_for_length(redis: PrivateRedis, queue: Queue, count: int) -> None:
    """Wait until so many rings are there."""
    deadline = time.monotonic() + 20
    while length(redis, queue) != count:
        assert time.monotonic() < deadline, f"{length(redis, queue)} rings, not {count}"
        time.sleep(0.02)


def wait_for_unheard(bell: Doorbell, count: int) -> None:
    """Wait until so many rings were given up."""
    deadline = time.monotonic() + 60
    while bell.unheard < count:
        assert time.monotonic() < deadline, f"{bell.unheard} rings given up, not {count}"
        time.sleep(0.02)


def test_a_ring_is_a_message_in_the_queue_of_its_job(redis: PrivateRedis, bell: Doorbell) -> None:
    """With the job's id and nothing of a patient."""
    bell.ring(Queue.GPU, JOB)
    wait_for_length(redis, Queue.GPU, 1)
    assert length(redis, Queue.CPU) == 0
    said = redis.say(f"LINDEX {NAMES[Queue.GPU]} 0").partition("\r\n")[2]
    envelope = json.loads(said)
    assert envelope["content-type"] == "application/json"
    assert envelope["headers"]["task"] == TASK
    assert set(envelope["headers"]) == set(message(JOB)["headers"])


def test_a_ring_returns_before_the_broker_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is not there before all of a hundred rings have returned; then it breaks, and they are forgotten.

    If a ring waited for it, the connection would wait for the rings until it gave up, and say so.
    """
    all_rung = threading.Event()
    attempts: list[bool] = []

    class Unanswered:
        def __init__(self, _url: str) -> None:
            attempts.append(all_rung.wait(30))
            raise ConnectionError

    monkeypatch.setattr(doorbell, "_Link", Unanswered)
    bell = Doorbell("redis://nobody.test/0")
    for _ in range(100):
        bell.ring(Queue.CPU, JOB)
    all_rung.set()
    wait_for_unheard(bell, 100)
    assert attempts
    assert all(attempts)


def test_rings_that_nobody_answers_are_forgotten() -> None:
    """By a real connection, which is refused: workers look for themselves."""
    bell = Doorbell("redis://127.0.0.1:1/0")
    for _ in range(100):
        bell.ring(Queue.CPU, JOB)
    wait_for_unheard(bell, 100)


def test_a_ring_after_the_broker_was_started_anew_is_heard() -> None:
    """A connection that was cut is made again."""
    with running_redis() as server:
        bell = Doorbell(server.url)
        bell.ring(Queue.CPU, JOB)
        wait_for_length(server, Queue.CPU, 1)
        server.kill()
        server.start()
        bell.ring(Queue.CPU, JOB)
        wait_for_length(server, Queue.CPU, 1)
        assert bell.unheard == 0
        bell.close()


def test_a_queue_that_nobody_takes_from_does_not_grow_for_ever(redis: PrivateRedis, bell: Doorbell) -> None:
    """A node whose workers are down for days fills no broker."""
    for _ in range(LOUD_ENOUGH):
        redis.say(f"RPUSH {NAMES[Queue.CPU]} x")
    bell.ring(Queue.CPU, JOB)
    bell.ring(Queue.GPU, JOB)
    wait_for_length(redis, Queue.GPU, 1)
    assert length(redis, Queue.CPU) == LOUD_ENOUGH


def test_what_rings_just_before_a_command_ends_is_published(redis: PrivateRedis, bell: Doorbell) -> None:
    """``celadon retry`` is over in a moment."""
    bell.ring(Queue.CPU, JOB)
    bell.close()
    assert length(redis, Queue.CPU) == 1
