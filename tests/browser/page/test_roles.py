"""The way of each role through the page, in a real browser."""

import pytest
from playwright.sync_api import Page, Route, expect

from node.domain.access import Role
from tests.browser.page.conftest import DESK, PHONE, Served, Visit, findings, picture

_ALL_INSIDE = """() => [...document.querySelectorAll("svg.fits")].flatMap((drawing) => {
    const all = drawing.getBoundingClientRect();
    const inside = (box, frame) => box.left >= frame.left - 1 && box.right <= frame.right + 1;
    const outside = [...drawing.querySelectorAll("text")].filter((one) => !inside(one.getBoundingClientRect(), all));
    const card = drawing.closest(".card").getBoundingClientRect();
    return [...outside.map((one) => one.textContent), ...(inside(all, card) ? [] : ["the drawing"])];
})"""
"""What of the drawings of a page is cut off."""

_A_LONG_PRESS_MS = 1_000


def case_of(page: Page, served: Served, kind: str = "analysed") -> None:
    """Go to a case."""
    page.goto(f"/jobs/{served.jobs[kind]}")


def test_a_viewer_looks_and_finds_nothing_to_press(visit: Visit, served: Served) -> None:
    """The list, a search, a case; no verdict, no retry, no audit."""
    page = visit(Role.VIEWER)
    page.get_by_label("Find").fill("acc-8")
    expect(page.locator("#rows tr")).to_have_count(1)
    page.get_by_role("link", name="Second, Patient").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Second, Patient")
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    case_of(page, served)
    expect(page.get_by_role("button", name="Keep the verdict")).to_have_count(0)
    assert page.goto("/audit").status == 403  # type: ignore[union-attr]  # a navigation has an answer


def test_a_row_stays_while_somebody_presses_on_it(visit: Visit) -> None:
    """Leaving the box of the search asks for nothing again: rows drawn anew would take the link from under a click."""
    page = visit(Role.VIEWER)
    page.get_by_label("Find").fill("acc-8")
    expect(page.locator("#rows tr")).to_have_count(1)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/rows") else None)
    page.get_by_role("link", name="Second, Patient").hover()
    page.mouse.down()
    page.wait_for_timeout(_A_LONG_PRESS_MS)
    assert asked == []
    page.mouse.up()
    expect(page.get_by_role("heading", level=1)).to_have_text("Second, Patient")


def test_a_reader_scrolls_fades_and_disagrees_then_amends(visit: Visit, served: Served) -> None:
    """What was said first stays; what was said last counts."""
    page = visit(Role.READER)
    case_of(page, served)
    expect(page.locator(".place")).to_contain_text("of 6")
    viewer = page.locator("#viewer")
    viewer.focus()
    page.keyboard.press("Home")
    expect(page.locator("output")).to_contain_text("1 of 6")
    expect(page.locator("img.outline")).to_be_hidden()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("img.outline")).to_be_visible()
    page.locator("#evidence").fill("0")
    expect(page.locator("img.evidence")).to_have_css("opacity", "0")
    page.get_by_label("Window").select_option("model")
    # Not by a function that the page is asked again: the page's own policy lets it evaluate none.
    expect(page.locator("img.ct")).not_to_have_js_property("naturalWidth", 0)
    page.get_by_role("radio", name="Disagree").check()
    page.get_by_label("Your own class").select_option("CT2")
    page.get_by_label("Reason").fill("the fat plane is kept")
    page.get_by_role("button", name="Keep the verdict").click()
    expect(page.get_by_role("status").first).to_contain_text("kept")
    page.get_by_role("radio", name="Agree", exact=True).check()
    page.get_by_label("Your own class").select_option("")
    page.get_by_label("Reason").fill("")
    page.get_by_role("button", name="Keep the verdict").click()
    expect(page.get_by_text("All 2 words, none overwritten")).to_be_visible()
    words = served.under_test.stores.verdicts.of(served.jobs["analysed"])
    assert [(word.kind.value, word.own_class) for word in words[-2:]] == [("disagree", "CT2"), ("agree", "")]
    assert all(len(word.digest) == 64 for word in words)


def test_no_slice_is_shown_under_the_outline_of_another(visit: Visit, served: Served) -> None:
    """Its own comes when it has been fetched; until then there is none."""
    page = visit(Role.READER)
    held: list[Route] = []
    page.route("**/slices/3/outline.png", lambda route: held.append(route))  # noqa: PLW0108 — Playwright marks what it is given
    case_of(page, served)
    viewer, outline = page.locator("#viewer"), page.locator("img.outline")
    viewer.focus()
    page.keyboard.press("Home")
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    expect(outline).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".place")).to_contain_text("4 of 6")
    expect(outline).to_be_hidden()
    for route in held:
        route.continue_()
    expect(outline).to_be_visible()


def test_an_operator_has_a_case_run_again_and_put_first(visit: Visit, served: Served) -> None:
    """And sees in the audit trail who did it."""
    page = visit(Role.OPERATOR)
    case_of(page, served, "refused")
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("It is queued again.")).to_be_visible()
    page.get_by_role("button", name="Make STAT").click()
    expect(page.get_by_text("It goes first.")).to_be_visible()
    page.goto("/audit")
    expect(page.get_by_role("cell", name="person:job:retry").first).to_be_visible()
    expect(page.get_by_role("cell", name="person operator").first).to_be_visible()
    expect(page.get_by_role("button", name="Export CSV")).to_have_count(0)


def test_an_admin_verifies_and_exports_the_trail(visit: Visit) -> None:
    """The chain is whole; the file has a line a row."""
    page = visit(Role.ADMIN)
    page.goto("/audit")
    page.get_by_role("button", name="Verify the chain").click()
    expect(page.get_by_text("every one as it was written")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith("id,at,actor,action")
    assert len(lines) > 10


def test_an_operator_withdraws_a_result_after_saying_so_twice(visit: Visit, served: Served) -> None:
    """A reason, and a box; nothing goes before both."""
    page = visit(Role.OPERATOR)
    case_of(page, served)
    page.get_by_text("Withdraw the result", exact=True).first.click()
    page.get_by_label("Why, as readers will see it").fill("the contour was of another patient")
    page.get_by_role("button", name="Withdraw the result").click()
    assert page.url.endswith(served.jobs["analysed"])
    expect(page.get_by_role("checkbox")).not_to_be_checked()
    # Nothing has left the browser: the box is required.
    assert served.under_test.stores.worklist.line(served.jobs["analysed"]).state.value != "retracted"  # type: ignore[union-attr]  # there is one


def test_a_reader_enters_an_outcome_and_sees_the_monitoring(visit: Visit, served: Served) -> None:
    """It stands on the case; monitoring shows its pictures."""
    page = visit(Role.READER)
    case_of(page, served)
    page.get_by_text("Enter what turned out to be true").click()
    page.locator("#outcome select").select_option("T3")
    page.get_by_label("Known from").fill("pathology")
    page.get_by_role("button", name="Keep the outcome").click()
    expect(page.locator("#outcome")).to_contain_text("T3, pathology entered by reader")
    page.get_by_role("link", name="Monitoring").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Monitoring")
    expect(page.get_by_role("img").first).to_be_visible()
    page.get_by_text("Numbers").first.click()
    expect(page.get_by_role("table").nth(1)).to_be_visible()


def test_the_list_follows_what_happens_by_itself(visit: Visit, served: Served) -> None:
    """A case that is put first is marked on a page that nobody touches."""
    page = visit(Role.VIEWER)
    expect(page.locator("#live")).to_have_text("live")
    served.under_test.stores.worklist.set_urgent(served.jobs["waiting"], urgent=False, by="test")
    mark = page.locator("#rows tr", has_text="Third, Patient").locator(".stat")
    expect(mark).to_have_count(0)
    served.under_test.stores.worklist.set_urgent(served.jobs["waiting"], urgent=True, by="test")
    expect(mark).to_have_count(1)


def test_everything_can_be_done_with_the_keyboard_alone(visit: Visit, served: Served) -> None:
    """Sign in, search, open, scroll, and give a verdict; every stop on the way is seen."""
    page = visit(None)
    page.goto("/login")
    page.keyboard.type("reader")
    page.keyboard.press("Tab")
    page.keyboard.type("correct horse battery")
    page.keyboard.press("Enter")
    page.wait_for_url("**/")
    tab_to(page, "text")
    page.keyboard.type("PAT-7")
    expect(page.locator("#rows tr")).to_have_count(1)
    tab_to(page, "", text="Müller, Jörg")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{served.jobs['analysed']}")
    tab_to(page, "viewer")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("End")
    expect(page.locator("output")).to_contain_text("6 of 6")
    tab_to(page, "", value="agree")
    page.keyboard.press("Space")
    tab_to(page, "", text="Keep the verdict")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("kept")


def tab_to(page: Page, element: str, *, text: str = "", value: str = "", most: int = 40) -> None:
    """Press Tab until something has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "[document.activeElement.id, document.activeElement.innerText || '', document.activeElement.value || '']"
        )
        if (element and found[0] == element) or (text and text == found[1].strip()) or (value and found[2] == value):
            return
    pytest.fail(f"the keyboard does not reach {element or text or value}")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_nothing_keeps_anybody_out(visit: Visit, served: Served, axe: str, size: tuple[int, int], dark: bool) -> None:
    """axe-core finds nothing, and nothing is wider than the window, on any page, light and dark, wide and narrow."""
    # axe is put into the page by hand, which the page's own policy forbids.
    page = visit(Role.ADMIN, size, dark=dark, bypass_csp=True)
    for name, path in {
        "worklist": "/",
        "case": f"/jobs/{served.jobs['analysed']}",
        "refused": f"/jobs/{served.jobs['refused']}",
        "silent": f"/jobs/{served.jobs['silent']}",
        "monitoring": "/monitoring",
        "clinical": "/clinical",
        "audit": "/audit",
    }.items():
        page.goto(path)
        if name == "case":
            expect(page.locator(".place")).to_contain_text("of 6")
        assert page.evaluate(_ALL_INSIDE) == [], "a drawing is seen as a whole, and all words in it"
        picture(page, f"{name}-{'dark' if dark else 'light'}-{size[0]}")
        assert findings(page, axe) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], name


def test_an_admin_unblinds_with_a_reason(visit: Visit, served: Served) -> None:
    """The answer appears with the name of who asked for it."""
    page = visit(Role.ADMIN)
    case_of(page, served, "silent")
    expect(page.get_by_text("62.1 %")).to_have_count(0)
    page.get_by_label("Why it is unblinded").fill("the trial is over")
    page.get_by_role("button", name="Unblind the result").click()
    expect(page.get_by_text("Unblinded by admin")).to_be_visible()
    expect(page.get_by_text("62.1 %").first).to_be_visible()
