"""Server-sent events: one line to every open page whenever the worklist may look otherwise (WHATWG HTML, section 9.2).

The database is asked once a second, however many pages are open, and not at all while none is.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import StreamingResponse

from node.domain.access import Permission, Person
from node.errors import CeladonError
from node.store.worklist import Worklist
from node.web.access import TheSite, allowed, find_person

router = APIRouter(include_in_schema=False)

MOST_STREAMS: Final = 100
_EVERY_S: Final = 1.0
_BEAT_S: Final = 15.0
"""A line that says nothing keeps proxies from closing the stream, and shows that the browser has gone."""

Viewer = Annotated[Person, Depends(allowed(Permission.SEE_CASES))]


class Changes:
    """Tells everybody who waits that something has changed."""

    def __init__(self, worklist: Worklist) -> None:
        """What is watched."""
        self._worklist = worklist
        self._condition = asyncio.Condition()
        self._number = 0
        self._listeners = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether no more pages may wait."""
        return self._listeners >= MOST_STREAMS

    async def stream(self) -> AsyncGenerator[int]:
        """A number for each change, and the same one again as a sign of life."""
        self._listeners += 1
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._watch())
        try:
            seen = self._number
            yield seen
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_BEAT_S), self._condition:
                        await self._condition.wait_for(lambda seen=seen: self._number != seen)  # type: ignore[misc]
                seen = self._number
                yield seen
        finally:
            self._listeners -= 1

    async def _watch(self) -> None:
        before: object = None
        while self._listeners:
            # A database that is locked for a moment is asked again a second later.
            with suppress(CeladonError):
                now = await asyncio.to_thread(self._worklist.fingerprint)
                if before is not None and now != before:
                    async with self._condition:
                        self._number += 1
                        self._condition.notify_all()
                before = now
            await asyncio.sleep(_EVERY_S)


@router.get("/events")
async def events(request: Request, site: TheSite, _: Viewer) -> StreamingResponse:
    """The stream of one page; it ends with the session."""
    changes: Changes = request.app.state.changes
    if changes.is_full:  # here: the stream itself begins when its answer has begun
        raise HTTPException(503, "Too many pages are open.")

    async def lines() -> AsyncIterator[str]:
        last = None
        async with aclosing(changes.stream()) as numbers:
            async for number in numbers:
                if await asyncio.to_thread(find_person, request, site, is_attended=False) is None:
                    return
                is_new = last is not None and number != last
                yield f"event: changed\ndata: {number}\n\n" if is_new else ": alive\n\n"
                last = number

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})
