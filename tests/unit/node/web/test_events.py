"""Events: whoever waits is told of a change, once."""

import asyncio

import pytest

from node.web import events
from node.web.events import Changes
from tests.page import PageUnderTest


def test_a_change_is_told_to_everybody_who_waits(full: PageUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pages, one change, and nobody is asked for once they are gone."""
    monkeypatch.setattr(events, "_EVERY_S", 0.02)

    async def scene() -> tuple[int, int]:
        changes = Changes(full.stores.worklist)
        one, other = changes.stream(), changes.stream()
        assert await anext(one) == await anext(other) == 0
        await asyncio.sleep(0.5)
        full.stores.worklist.set_urgent(full.jobs["refused"], urgent=True, by="test")
        told = await anext(one), await anext(other)
        await one.aclose()
        await other.aclose()
        assert changes._listeners == 0
        return told

    assert asyncio.run(scene()) == (1, 1)


def test_silence_is_broken_now_and_then(full: PageUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a browser that has gone is noticed."""
    monkeypatch.setattr(events, "_BEAT_S", 0.05)

    async def scene() -> list[int]:
        stream = Changes(full.stores.worklist).stream()
        return [await anext(stream) for _ in range(3)]

    assert asyncio.run(scene()) == [0, 0, 0]


def test_there_is_an_end_to_open_pages(full: PageUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than the most is refused, before its stream has begun."""
    monkeypatch.setattr(events, "MOST_STREAMS", 0)
    answer = full.client().get("/events")
    assert answer.status_code == 503
    assert "Too many pages" in answer.text


def test_a_stream_ends_with_the_session_and_does_not_keep_it(
    full: PageUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that is left open is nobody who does something."""
    asked: list[bool] = []

    def find(*_: object, is_attended: bool) -> None:
        asked.append(is_attended)

    monkeypatch.setattr(events, "find_person", find)
    assert full.client().get("/events").text == ""
    assert asked == [False]
