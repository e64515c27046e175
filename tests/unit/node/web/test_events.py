"""Events: whoever waits is told of a change, once."""

import asyncio

import pytest
from fastapi import HTTPException

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
        await one.aclose()  # type: ignore[attr-defined]  # an asynchronous generator
        await other.aclose()  # type: ignore[attr-defined]  # the same
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
    """One more than the most is refused."""
    monkeypatch.setattr(events, "MOST_STREAMS", 0)

    async def scene() -> None:
        await anext(Changes(full.stores.worklist).stream())

    with pytest.raises(HTTPException):
        asyncio.run(scene())
