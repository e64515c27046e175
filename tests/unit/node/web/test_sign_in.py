"""Signing in and out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from node.domain.access import Role
from node.web.limits import RateLimit
from tests.page import HASHED, PASSWORD, Browser, PageUnderTest


def test_on_loopback_without_users_the_page_is_open_and_says_so(page: PageUnderTest) -> None:
    """A demonstration needs no account."""
    answer = page.client().get("/")
    assert answer.status_code == 200
    assert "Nobody is set up" in answer.text


def test_with_the_first_user_it_is_closed(page: PageUnderTest) -> None:
    """Also when everybody was disabled since."""
    page.stores.users.add("anna", HASHED, Role.READER)
    page.stores.users.disable("anna")
    answer = page.client().get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_the_right_password_lets_in(page: PageUnderTest) -> None:
    """And both are in the audit trail: that and how somebody came."""
    browser = page.signed_in(Role.READER)
    assert browser.get("/").status_code == 200
    assert "person:session:begin" in page.actions()


def test_a_wrong_one_does_not_and_does_not_say_what_was_wrong(page: PageUnderTest) -> None:
    """Nobody learns who has an account."""
    page.stores.users.add("anna", HASHED, Role.READER)
    browser = Browser(page.client())
    known = browser.post("/login", name="anna", password="wrong")  # noqa: S106 — wrong on purpose
    unknown = browser.post("/login", name="berta", password="wrong")  # noqa: S106 — the same
    assert known.status_code == unknown.status_code == 401
    assert "Name or password is wrong" in known.text
    assert "Name or password is wrong" in unknown.text
    assert page.actions().count("person:session:refuse") == 2


def test_too_many_attempts_are_not_looked_at(page: PageUnderTest) -> None:
    """Also with the right password, until a minute has passed."""
    page.stores.users.add("anna", HASHED, Role.READER)
    page.site = replace(page.site, sign_ins=RateLimit(10, lambda: 0.0))
    browser = Browser(page.client())
    codes = [browser.post("/login", name="anna", password=f"wrong {one}").status_code for one in range(11)]
    assert codes == [401] * 10 + [429]
    assert browser.post("/login", name="anna", password=PASSWORD).status_code == 429


def test_rows_that_a_page_asks_for_by_itself_keep_nobody_signed_in(
    page: PageUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that somebody asks for do."""
    browser = page.signed_in(Role.VIEWER)
    page_of = browser.get("/").text
    csrf = {"csrf": page_of.partition('name="csrf" content="')[2][:64]}
    begun = datetime.now(UTC)
    for minutes, headers, status in ((20, {}, 200), (45, {"X-Unattended": "1"}, 200), (55, {"X-Unattended": "1"}, 303)):
        monkeypatch.setattr(page.stores.users, "_now", lambda minutes=minutes: begun + timedelta(minutes=minutes))
        assert browser.client.post("/worklist/rows", data=csrf, headers=headers).status_code == status, minutes


def test_whoever_signs_out_is_out(page: PageUnderTest) -> None:
    """The cookie is worth nothing any more, also to whoever has a copy."""
    browser = page.signed_in(Role.VIEWER)
    copy = dict(browser.client.cookies)
    assert browser.post("/logout").status_code == 303
    other = page.client(cookies=copy)
    assert other.get("/").status_code == 303
    assert "person:session:end" in page.actions()


def test_cookies_are_out_of_reach(page: PageUnderTest) -> None:
    """Of scripts, of other sites, and of plain HTTP where others can listen."""
    page.stores.users.add("anna", HASHED, Role.READER)
    answer = Browser(page.client()).post("/login", name="anna", password=PASSWORD)
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 2
    assert all("HttpOnly" in one and "SameSite=lax" in one for one in cookies)
