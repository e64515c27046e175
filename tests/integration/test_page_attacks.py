"""What attackers try at the page: addresses that lead elsewhere, paths that climb, numbers of other people's things."""

import socket
from pathlib import Path
from typing import Any

import pytest

from node.domain.access import Role
from tests.page import PageUnderTest, analysed, furnished, open_page, refused

ELSEWHERE = (
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1:1/",
    "http://[::1]:1/",
    "//evil.example/",
    "\\\\evil.example\\share",
    "file:///etc/passwd",
    "gopher://127.0.0.1:1/_x",
    "ldap://evil.example/x",
)
CLIMBS = (
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "....//....//etc/passwd",
    "..\\..\\celadon.db",
    "..%5c..%5cceladon.db",
    "%252e%252e%252fceladon.db",
    "/etc/passwd",
    "celadon.db%00.png",
    "..%c0%af..%c0%afetc/passwd",
)
SECRETS = (b"root:x:", b"SQLite format 3", b"Traceback")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> PageUnderTest:
    """A page with a case of each kind."""
    return furnished(open_page(tmp_path_factory.mktemp("attacked")))


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Whom this process has tried to reach, or asked the name of."""
    found: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        found.append(arguments)
        raise OSError("nobody is to be called")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return found


@pytest.mark.parametrize("address", ELSEWHERE)
def test_no_address_that_somebody_sends_is_asked_or_led_to(
    page: PageUnderTest, called: list[Any], address: str
) -> None:
    """In every form, header and parameter: this node fetches nothing, and its redirects stay at home."""
    job = page.jobs["analysed"]
    browser = page.signed_in(Role.ADMIN)
    answers = [
        browser.get("/", params={"next": address, "url": address, "state": address}),
        browser.get("/login", params={"next": address}),
        browser.get("/", headers={"x-forwarded-host": address, "x-forwarded-for": address, "referer": address}),
        browser.get(f"/jobs/{job}", params={"done": address, "problem": address, "seal": "0" * 32}),
        browser.post("/", text=address, state=address),
        browser.post(f"/jobs/{job}/verdict", kind="disagree", own_class=address, reason=address),
        browser.post(f"/jobs/{job}/clinical", variable=address, value=address, unit=address, observed=address),
        browser.post(f"/jobs/{job}/outcome", answer=address, source=address, determined=address),
        browser.post(f"/jobs/{job}/retract", reason=address),
        browser.post("/audit", actor=address, subject=address),
        browser.get(f"/api/v1/clinical/{address.replace('/', '%2f')}"),
    ]
    for answer in answers:
        assert answer.status_code < 500
        assert answer.headers.get("location", "/").startswith("/")
        assert not answer.headers.get("location", "/").startswith("//")
        assert "set-cookie" not in answer.headers or address not in answer.headers["set-cookie"]
    assert address not in answers[3].text
    assert called == []


@pytest.mark.parametrize(
    "host", ["evil.example", "169.254.169.254", "127.0.0.1.evil.example", "localhost@evil.example"]
)
def test_nobody_is_answered_under_another_name(page: PageUnderTest, host: str) -> None:
    """Else a page elsewhere could have its name point here (DNS rebinding)."""
    assert page.client().get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("climb", CLIMBS)
def test_no_path_leads_out_of_what_is_served(page: PageUnderTest, climb: str) -> None:
    """Static files, cases, slices, objects, patients."""
    browser, job = page.signed_in(Role.ADMIN), page.jobs["analysed"]
    for path in (
        f"/static/{climb}",
        f"/{climb}",
        f"/jobs/{climb}",
        f"/jobs/{job}/slices/{climb}",
        f"/jobs/{job}/slices/{climb}.png",
        f"/jobs/{job}/slices/0/{climb}.png",
        f"/api/v1/jobs/{climb}",
        f"/api/v1/jobs/{job}/objects/{climb}",
        f"/api/v1/clinical/{climb}",
    ):
        answer = browser.get(path)
        assert answer.status_code < 500, path
        for secret in SECRETS:
            assert secret not in answer.content, path
        if not path.startswith("/api/v1/clinical/"):
            assert answer.status_code in (307, 400, 403, 404, 422), (path, answer.status_code)


def test_an_object_is_found_in_its_own_case_alone(page: PageUnderTest) -> None:
    """Whoever knows its UID does not get round the trail of another case."""
    browser = page.signed_in(Role.VIEWER)
    mine, other = page.jobs["analysed"], page.jobs["refused"]
    for made in page.stores.results.of(mine):
        assert browser.get(f"/api/v1/jobs/{mine}/objects/{made.uid}").status_code == 200
        assert browser.get(f"/api/v1/jobs/{other}/objects/{made.uid}").status_code == 404
    for index in ("-1", "6", "99999999999999999999", "0x0", "1e3", "NaN"):
        assert browser.get(f"/jobs/{mine}/slices/{index}.png").status_code in (404, 422)


@pytest.mark.parametrize("job", ["0", "' OR 1=1 --", "%27%20OR%201%3D1", "*", "many%", "_" * 32, "a" * 4000, "\u202e"])
def test_no_number_that_somebody_makes_up_finds_a_case(page: PageUnderTest, job: str) -> None:
    """Nor the database's words."""
    browser = page.signed_in(Role.ADMIN)
    for path in (f"/jobs/{job}", f"/api/v1/jobs/{job}", f"/jobs/{job}/slices/0.png"):
        assert browser.get(path).status_code == 404, path
    for path in (f"/jobs/{job}/unblind", f"/jobs/{job}/outcome", f"/jobs/{job}/retract"):
        assert browser.post(path, reason="x", confirmed="true", answer="T3").status_code == 404, path


def test_a_role_does_what_it_may_whatever_it_sends(page: PageUnderTest, tmp_path: Path) -> None:
    """Forms of others, sent by a viewer with a token of their own: each is refused, and each refusal is told."""
    browser = page.signed_in(Role.VIEWER)
    job = page.jobs["analysed"]
    for path in ("verdict", "clinical", "outcome", "retract", "unblind", "retry", "urgent"):
        assert browser.post(f"/jobs/{job}/{path}", reason="x", confirmed="true", role="admin").status_code == 403, path
    for path in ("/audit", "/audit/export", "/audit/verify", "/verdicts/export"):
        assert browser.post(path).status_code == 403, path
    assert page.actions().count("person:access:refuse") >= 11
    assert page.stores.verdicts.of(job) == ()


def test_somebody_who_is_kept_out_is_out_at_once(page: PageUnderTest) -> None:
    """With the cookie and the token that worked a moment ago."""
    browser = page.signed_in(Role.OPERATOR)
    token = page.stores.users.add_token("operator", "test", 1)
    headers = {"authorization": f"Bearer {token}"}
    assert page.client().get("/api/v1/status", headers=headers).status_code == 200
    page.stores.users.disable("operator")
    assert browser.get("/").status_code == 303
    assert page.client().get("/api/v1/status", headers=headers).status_code == 401


def test_a_blinded_result_is_not_got_at_by_its_uid(tmp_path: Path) -> None:
    """Not even by an administrator who has kept it."""
    page = open_page(tmp_path)
    job = analysed(page, is_silent=True)
    refused(page)
    browser = page.signed_in(Role.ADMIN)
    for made in page.stores.results.of(job):
        assert browser.get(f"/api/v1/jobs/{job}/objects/{made.uid}").status_code == 404
