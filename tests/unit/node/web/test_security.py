"""Which requests are answered at all."""

from pathlib import Path

import pytest

from node.web.security import LARGEST_BODY
from tests.page import PageUnderTest, open_page


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example"])
def test_a_name_that_only_resolves_here_is_not_ours(page: PageUnderTest, host: str) -> None:
    """DNS rebinding: a page elsewhere would share our origin."""
    assert page.client().get("/health/live", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:9"])
def test_loopback_by_any_name_is(page: PageUnderTest, host: str) -> None:
    """With any port."""
    assert page.client().get("/health/live", headers={"host": host}).status_code == 200


def test_behind_a_proxy_the_public_name_counts(tmp_path: Path, migrated: Path) -> None:
    """And cookies and headers are those of HTTPS."""
    page = open_page(tmp_path, migrated, public_url="https://celadon.example")
    client = page.client(base_url="https://celadon.example")
    answer = client.get("/login")
    assert answer.status_code == 200
    assert "max-age" in answer.headers["strict-transport-security"]
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-celadon_visit=")
    assert "Secure" in cookie
    assert client.get("/login", headers={"host": "other.example"}).status_code == 421


def test_large_bodies_are_not_read(page: PageUnderTest) -> None:
    """By their length, or as they come."""
    client = page.client(raise_server_exceptions=False)
    assert client.post("/login", content=b"x" * (LARGEST_BODY + 1)).status_code == 413
    assert client.post("/login", headers={"content-length": "-1"}, content=b"").status_code == 413


def test_one_address_cannot_ask_without_end(tmp_path: Path, migrated: Path) -> None:
    """Sixty a minute here; then it is told when to come again."""
    client = open_page(tmp_path, migrated, requests_per_minute=60).client()
    codes = [client.get("/health/live").status_code for _ in range(70)]
    assert codes[:60] == [200] * 60
    assert codes[-1] == 429


def test_an_address_with_a_null_character_is_no_page(page: PageUnderTest) -> None:
    """No database takes it as a text, and none is asked."""
    assert page.client().get("/jobs/%00").status_code == 404
    assert page.client().get("/api/v1/jobs/a%00b").status_code == 404
