"""Celery as the doorbell: it wakes the loop at once, also after Redis was gone, and can do nothing else."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from node.domain.identifiers import JobId
from node.domain.lifecycle import Queue
from node.doorbell import TASK, Doorbell
from node.stopping import StopRequest
from tests.servers import PrivateRedis, running_redis
from workers.app import SETTINGS, listen_for_rings, make_app
from workers.bell import Bell

JOB = JobId("0123456789abcdef")
PATIENCE_S = 60.0


@pytest.fixture
def over() -> threading.Event:
    """Set at the end of a test: its consumers go with the Redis that they listen to."""
    return threading.Event()


@pytest.fixture
def redis(over: threading.Event) -> Iterator[PrivateRedis]:
    """A Redis that a test may kill."""
    with running_redis() as server:
        yield server
        over.set()


def rung_within(bell: Bell, seconds: float) -> bool:
    """Whether the bell is rung by then."""
    begun = time.monotonic()
    bell.wait(seconds, StopRequest())
    return time.monotonic() - begun < seconds


def until_heard(bell: Bell, ring: Callable[[], None]) -> bool:
    """Whether a ring is heard before patience ends, rung again every second."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        ring()
        if rung_within(bell, 1.0):
            return True
    return False


def test_a_ring_wakes_the_worker_of_its_queue(redis: PrivateRedis, over: threading.Event) -> None:
    """And not that of another."""
    cpu, gpu, doorbell = Bell(), Bell(), Doorbell(redis.url)
    listen_for_rings(redis.url, [Queue.CPU], cpu, "cpu@here", over)
    listen_for_rings(redis.url, [Queue.GPU], gpu, "gpu@here", over)
    assert until_heard(gpu, lambda: doorbell.ring(Queue.GPU, JOB))
    while rung_within(gpu, 1.0):
        pass
    assert not rung_within(cpu, 0.5)
    assert until_heard(cpu, lambda: doorbell.ring(Queue.CPU, JOB))


def test_a_redis_that_was_killed_is_listened_to_again(redis: PrivateRedis, over: threading.Event) -> None:
    """Also when it died while a worker was busy."""
    bell, doorbell = Bell(), Doorbell(redis.url)
    listen_for_rings(redis.url, list(Queue), bell, "all@here", over)
    assert until_heard(bell, lambda: doorbell.ring(Queue.CPU, JOB))
    doorbell.ring(Queue.CPU, JOB)  # not heard: the worker is busy
    redis.kill()
    time.sleep(0.5)
    redis.start()
    assert until_heard(bell, lambda: doorbell.ring(Queue.CPU, JOB))


def test_the_one_task_rings_and_returns_nothing() -> None:
    """Whatever is in the message."""
    bell = Bell()
    app = make_app("memory://", list(Queue), bell)
    assert [name for name in app.tasks if not name.startswith("celery.")] == [TASK]
    threading.Thread(target=app.tasks[TASK], args=("made up",), daemon=True).start()
    assert rung_within(bell, 10)


def test_whoever_reaches_the_broker_can_wake_workers_and_nothing_else() -> None:
    """No pickle, no remote control, no results."""
    app = make_app("memory://", [Queue.CPU], Bell())
    assert app.conf.accept_content == ["json"]
    assert not app.conf.worker_enable_remote_control
    assert app.conf.task_ignore_result
    assert app.conf.worker_prefetch_multiplier == 1
    assert {name: app.conf[name] for name in SETTINGS} == dict(SETTINGS)
