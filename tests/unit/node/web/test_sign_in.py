"""Signing in and out."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from node.domain.access import Role
from node.web import passwords
from node.web.limits import Gate, RateLimit
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


def test_attempts_at_the_same_moment_are_counted_before_they_are_looked_at(
    page: PageUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more are looked at than a minute allows, and of those a few at once: each takes 64 MiB."""
    page.stores.users.add("anna", HASHED, Role.READER)
    page.site = replace(page.site, sign_ins=RateLimit(10, lambda: 0.0))
    lock, inside, most, looked_at = threading.Lock(), [0], [0], [0]

    def is_right(*_: object) -> bool:
        with lock:
            inside[0] += 1
            looked_at[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.1)
        with lock:
            inside[0] -= 1
        return False

    monkeypatch.setattr(passwords, "is_right", is_right)
    browsers = [Browser(page.client()) for _ in range(16)]
    with ThreadPoolExecutor(len(browsers)) as pool:
        found = list(pool.map(lambda one: one.post("/login", name="anna", password="wrong").status_code, browsers))  # noqa: S106 — wrong on purpose
    assert looked_at[0] == found.count(401) <= 10
    assert found.count(429) >= 6
    assert most[0] <= 2


def test_only_wrong_passwords_count(page: PageUnderTest) -> None:
    """Neither those that were right, nor those that nobody could look at."""
    page.stores.users.add("anna", HASHED, Role.READER)
    page.site = replace(page.site, sign_ins=RateLimit(1, lambda: 0.0), verifying=Gate(2, 0))
    browser = Browser(page.client())
    with ExitStack() as crowd:
        for _ in range(2):
            crowd.enter_context(page.site.verifying.enter())
        crowded = browser.post("/login", name="anna", password=PASSWORD)
    assert (crowded.status_code, "at this moment" in crowded.text) == (503, True)
    assert [browser.post("/login", name="anna", password=PASSWORD).status_code for _ in range(3)] == [303] * 3


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
