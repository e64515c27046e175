"""The worklist: who is being analysed, what came of it, and what needs a person; it follows what happens by itself."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response

from node.domain.access import Permission, Person
from node.domain.audit import AuditAction
from node.domain.identifiers import JobId
from node.domain.lifecycle import JobState
from node.errors import UsageError
from node.store.worklist import Order, Page, Wanted
from node.stores import Stores
from node.web.access import TheSite, allowed
from node.web.showing import as_sentence, back_to, show
from node.web.site import Site

router = APIRouter(include_in_schema=False)

PAGE: Final = 50
FIGURES_S: Final = 1.0
OLDEST_FIGURES_S: Final = 2.0
LONGEST_SEARCH: Final = 64

Viewer = Annotated[Person, Depends(allowed(Permission.SEE_CASES))]
Operator = Annotated[Person, Depends(allowed(Permission.RETRY))]
Dispatcher = Annotated[Person, Depends(allowed(Permission.PRIORITISE))]


@dataclass(frozen=True, slots=True)
class _Counted:
    """Figures of some stores, and when they were counted."""

    of: Stores | None
    at: float
    values: dict[str, Any]


class Figures:
    """The figures above the list, which are about all cases: counted once a second, however many people look.

    While somebody counts, everybody else is shown what was counted before: among a hundred thousand cases it takes
    longer than all the rest of the page.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """``now``: seconds on a clock that nobody can set."""
        self._now = now
        self._counted = _Counted(None, 0.0, {})
        self._counting = threading.Lock()

    def of(self, stores: Stores) -> dict[str, Any]:
        """The figures of ``stores``, at most ``OLDEST_FIGURES_S`` old."""
        if not self._is_younger(stores, OLDEST_FIGURES_S):
            with self._counting:
                # Whoever has waited here has them from the one who was first.
                if not self._is_younger(stores, FIGURES_S):
                    self._count(stores)
        elif not self._is_younger(stores, FIGURES_S) and self._counting.acquire(blocking=False):
            threading.Thread(target=self._count_anew, args=(stores,), name="figures", daemon=True).start()
        return self._counted.values

    def _is_younger(self, stores: Stores, seconds: float) -> bool:
        return self._counted.of is stores and self._now() - self._counted.at <= seconds

    def _count_anew(self, stores: Stores) -> None:
        try:
            # What goes wrong here goes wrong again for the next who asks, once these are too old, and is told there.
            with suppress(Exception):
                self._count(stores)
        finally:
            self._counting.release()

    def _count(self, stores: Stores) -> None:
        counts = stores.jobs.counts()
        values = {
            "counts": [(state, counts[state]) for state in JobState],
            "oldest_waiting": stores.jobs.oldest_waiting(),
            "last_received": stores.jobs.last_received(),
        }
        self._counted = _Counted(stores, self._now(), values)


_FIGURES: Final = Figures()


def sought(  # noqa: D103 — a dependency: its parameters are the form's
    state: Annotated[str, Form()] = "",
    order: Annotated[str, Form()] = "newest",
    text: Annotated[str, Form(max_length=LONGEST_SEARCH)] = "",
    after: Annotated[str, Form()] = "",
) -> Wanted:
    return _wanted(state, order, text, after)


Sought = Annotated[Wanted, Depends(sought)]


@router.get("/")
def worklist(request: Request, site: TheSite, person: Viewer, state: str = "", order: str = "newest") -> Response:
    """The whole page."""
    return _page(request, site, person, _wanted(state, order, ""))


@router.post("/")
def search(request: Request, site: TheSite, person: Viewer, wanted: Sought) -> Response:
    """The page for a search: names and numbers of patients do not belong into addresses, which are logged."""
    return _page(request, site, person, replace(wanted, after=None))


@router.post("/worklist/rows")
def rows(request: Request, site: TheSite, person: Viewer, wanted: Sought) -> Response:
    """The rows alone: the first ones again, or those that follow.

    A page asks for them whenever something changes, so that a row of the trail for each would bring the next change: a
    search is told, once for what it looks for.
    """
    if wanted.text:
        key = (AuditAction.WORKLIST_VIEWED, person.how, person.name, wanted.text)
        site.lately.once(key, lambda: _tell_viewed(site, person, wanted))
    template = "worklist_more.html" if wanted.after else "worklist_rows.html"
    return site.pages.answer(request, template, person=person, **_listed(site, wanted))


@router.post("/jobs/{job_id}/retry")
def retry(request: Request, site: TheSite, person: Operator, job_id: str) -> Response:
    """Have a case analysed, or delivered, again."""
    try:
        site.stores.jobs.retry(JobId(job_id), by=person.actor)
    except UsageError as exc:
        return back_to(request, site, f"/jobs/{job_id}", problem=as_sentence(exc))
    return back_to(request, site, f"/jobs/{job_id}", done="It is queued again.")


@router.post("/jobs/{job_id}/urgent")
def urgent(
    request: Request, site: TheSite, person: Dispatcher, job_id: str, urgent: Annotated[bool, Form()] = False
) -> Response:
    """Put a case before the others, or no longer."""
    try:
        site.stores.worklist.set_urgent(job_id, urgent=urgent, by=person.actor)
    except UsageError as exc:
        raise HTTPException(404, "There is no such case.") from exc
    return back_to(request, site, f"/jobs/{job_id}", done="It goes first." if urgent else "It waits its turn.")


def _page(request: Request, site: Site, person: Person, wanted: Wanted) -> Response:
    _tell_viewed(site, person, wanted)
    values = _listed(site, wanted) | _FIGURES.of(site.stores)
    return show(request, site, person, "worklist.html", **values)


def _tell_viewed(site: Site, person: Person, wanted: Wanted) -> None:
    # Not what was searched for: it may be a patient's name.
    site.tell(person, AuditAction.WORKLIST_VIEWED, details={"searched": int(bool(wanted.text))})


def _listed(site: Site, wanted: Wanted) -> dict[str, Any]:
    page: Page = site.stores.worklist.page(wanted, PAGE)
    following = f"{page.following[0].isoformat()} {page.following[1]}" if page.following else ""
    pinned = {line.job_id for line in page.urgent}
    lines = tuple(line for line in page.lines if line.job_id not in pinned)
    return {
        "page": replace(page, lines=lines),
        "following": following,
        "wanted": wanted,
        "now": datetime.now(UTC),
        "states": tuple(JobState),
        "orders": tuple(Order),
    }


def last_row(text: str, between: str) -> tuple[datetime, str] | None:
    """After which row a page begins, as a page has said it; None where it says no row.

    Raises:
        ValueError: no page has said that.
    """
    moment, _, job_id = text.partition(between)
    if not job_id:
        return None
    at = datetime.fromisoformat(moment)
    if at.tzinfo is None or "\x00" in job_id:
        raise ValueError("a moment without a zone, or no job")
    try:
        return at.astimezone(UTC), job_id
    except OverflowError as exc:
        raise ValueError("a moment that is none in UTC") from exc


def _wanted(state: str, order: str, text: str, after: str = "") -> Wanted:
    """What somebody looks for; what makes no sense counts as nothing."""
    known = JobState(state) if state in tuple(JobState) else None
    by = Order(order) if order in tuple(Order) else Order.NEWEST
    try:
        last = last_row(after, " ")
    except ValueError:
        last = None
    return Wanted(known, text.replace("\x00", "").strip(), by, last)
