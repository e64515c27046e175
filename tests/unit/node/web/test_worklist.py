"""The worklist as a page."""

import threading

import pytest

from node.domain.access import Role
from node.domain.lifecycle import JobState
from node.errors import Retryable
from node.web.worklist import FIGURES_S, OLDEST_FIGURES_S, Figures
from tests.fakes import raising
from tests.page import Browser, PageUnderTest
from tests.unit.node.store.conftest import Clock

XSS = '"><script>alert(1)</script>'


def test_cases_are_listed_with_whom_they_are_of(full: PageUnderTest) -> None:
    """Names as people read them, the urgent one first, the answer in a few words."""
    text = Browser(full.client()).get("/").text
    assert text.index("Third, Patient") < text.index("Second, Patient")
    assert "STAT" in text
    assert "Müller, Jörg" in text
    assert "cT3 62.1 %" in text


def test_a_search_is_a_form_and_not_an_address(full: PageUnderTest) -> None:
    """Names of patients do not get into logs of proxies; the search itself is in no row of the trail."""
    browser = Browser(full.client())
    answer = browser.post("/", text="second")
    assert "Second, Patient" in answer.text
    assert "Müller" not in answer.text
    assert "second" not in str([event.details for event in full.stores.audit.events()])


def test_rows_come_alone_for_a_page_that_follows(full: PageUnderTest) -> None:
    """Filtered as the form says; a case that is gone from the filter is gone."""
    browser = Browser(full.client())
    rows = browser.post("/worklist/rows", state="not-analysed").text
    assert "<html" not in rows
    assert "Second, Patient" in rows
    assert "Third, Patient" not in rows
    assert "No case is like that" in browser.post("/worklist/rows", state="retracted").text


def test_nonsense_in_the_form_counts_as_nothing(full: PageUnderTest) -> None:
    """States, orders and places that do not exist."""
    browser = Browser(full.client())
    for form in ({"state": "x"}, {"order": "x"}, {"after": "x y"}, {"after": "2026-01-01 x"}, {"text": "\x00"}):
        assert browser.post("/worklist/rows", **form).status_code == 200


def test_every_look_is_in_the_trail(full: PageUnderTest) -> None:
    """With who looked."""
    full.signed_in(Role.VIEWER).get("/")
    last = full.stores.audit.events()[-1]
    assert (last.actor, last.action.value) == ("person viewer", "person:worklist:view")


def test_a_search_on_the_page_is_in_the_trail_once_and_its_refreshing_is_not(full: PageUnderTest) -> None:
    """Rows come again whenever something changes: a row of the trail for each would be the next change."""
    browser = full.signed_in(Role.VIEWER)
    before = full.actions().count("person:worklist:view")
    for text in ("", "second", "second", "third", ""):
        browser.post("/worklist/rows", text=text)
    told = [event for event in full.stores.audit.events() if event.action.value == "person:worklist:view"][before:]
    assert [event.details for event in told] == [{"searched": 1}, {"searched": 1}]


def test_what_is_searched_for_is_written_as_text(full: PageUnderTest) -> None:
    """Also when it looks like a script."""
    text = Browser(full.client()).post("/", text=XSS).text
    assert XSS not in text
    assert "&lt;script&gt;" in text


def test_an_operator_retries_and_others_may_not(full: PageUnderTest) -> None:
    """The trail has both."""
    path = f"/jobs/{full.jobs['refused']}/retry"
    assert full.signed_in(Role.READER).post(path).status_code == 403
    assert full.signed_in(Role.OPERATOR).post(path).status_code == 303
    job = full.stores.jobs.job(full.jobs["refused"])
    assert job is not None
    assert job.state.value == "waiting"
    actors = {event.action.value: event.actor for event in full.stores.audit.events()}
    assert actors["person:access:refuse"] == "person reader"
    assert actors["person:job:retry"] == "person operator"


def test_what_cannot_be_retried_is_said(full: PageUnderTest) -> None:
    """A case that waits already."""
    browser = Browser(full.client())
    answer = browser.post(f"/jobs/{full.jobs['waiting']}/retry")
    assert "cannot be retried" in browser.get(answer.headers["location"]).text


def test_words_in_an_address_are_shown_only_if_they_are_ours(full: PageUnderTest) -> None:
    """Nobody sends a link that has the page say something."""
    path = f"/jobs/{full.jobs['waiting']}?done=Call+this+number&seal=00"
    assert "Call this number" not in Browser(full.client()).get(path).text


def test_a_case_that_is_not_there_cannot_be_put_first(full: PageUnderTest) -> None:
    """404, as everywhere."""
    assert full.signed_in(Role.OPERATOR).post("/jobs/none/urgent", urgent="true").status_code == 404


@pytest.mark.parametrize(
    "after", ["2026-01-01T00:00:00+00:00 a\x00b", "0001-01-01T00:00:00+14:00 a", "2026-01-01T00:00:00 a", "x y"]
)
def test_a_row_that_no_page_has_named_is_no_row(full: PageUnderTest, after: str) -> None:
    """The list begins at its beginning."""
    assert "PAT-8" in Browser(full.client()).post("/worklist/rows", after=after).text


class Counter:
    """Stores whose counting can be made to last."""

    def __init__(self) -> None:
        self.jobs = self
        self.counted, self.may_go_on, self.has_begun = 0, threading.Event(), threading.Event()
        self.may_go_on.set()

    def counts(self) -> dict[JobState, int]:
        """As many as were counted."""
        self.has_begun.set()
        assert self.may_go_on.wait(60)
        self.counted += 1
        return dict.fromkeys(JobState, self.counted)

    def oldest_waiting(self) -> None:
        """None."""

    def last_received(self) -> None:
        """None."""


def shown(figures: Figures, stores: Counter) -> int:
    """How often had been counted when somebody was shown these."""
    return int(figures.of(stores)["counts"][0][1])  # type: ignore[arg-type]  # all of the stores that is asked


def test_nobody_waits_for_figures_that_are_counted_anew() -> None:
    """A little old ones are shown meanwhile, and one counts for all; none is shown that is too old."""
    clock, stores = Clock(), Counter()
    figures = Figures(clock)
    assert (shown(figures, stores), shown(figures, stores)) == (1, 1)
    stores.may_go_on.clear()
    stores.has_begun.clear()
    clock.now_s += FIGURES_S + 0.1
    assert (shown(figures, stores), shown(figures, stores)) == (1, 1)
    assert stores.has_begun.wait(60)
    stores.may_go_on.set()
    clock.now_s += OLDEST_FIGURES_S + 0.1
    assert shown(figures, stores) >= 2
    assert shown(figures, Counter()) == 1, "those of other stores are not these"


def test_counting_that_fails_is_told_to_whoever_has_nothing_else_to_see() -> None:
    """And does not keep the next from counting."""
    clock, stores = Clock(), Counter()
    figures = Figures(clock)
    shown(figures, stores)
    failing = Retryable("database: locked")
    stores.oldest_waiting = raising(failing)  # type: ignore[method-assign]  # a test's
    clock.now_s += FIGURES_S + 0.1
    assert shown(figures, stores) == 1
    clock.now_s += OLDEST_FIGURES_S
    with pytest.raises(Retryable):
        shown(figures, stores)
    stores.oldest_waiting = lambda: None  # type: ignore[method-assign]  # a test's
    assert shown(figures, stores) > 1
