"""The process: whom it refuses to be reached by, and what it leaves behind."""

import json

import pytest

from node.errors import UsageError
from node.settings import OidcSettings, WebSettings
from node.store.chain import exported_heads, read_key
from node.web import server
from tests.page import PageUnderTest

OIDC = OidcSettings(issuer="https://id.example", client_id="celadon")


@pytest.mark.parametrize("web", [WebSettings(host="0.0.0.0"), WebSettings(public_url="https://celadon.example")])  # noqa: S104 — what is refused
def test_nobody_else_reaches_a_page_that_anybody_may_use(web: WebSettings) -> None:
    """The message says what to do."""
    with pytest.raises(UsageError, match="celadon users add"):
        server.require_users(web, has_users=False)
    server.require_users(web, has_users=True)
    server.require_users(web.model_copy(update={"oidc": OIDC}), has_users=False)


def test_loopback_needs_nobody() -> None:
    """A demonstration runs without accounts."""
    server.require_users(WebSettings(), has_users=False)


def test_a_port_that_is_taken_is_said() -> None:
    """With its setting."""
    taken = server._listen(WebSettings(port=0))
    with taken, pytest.raises(UsageError, match=r"web\.port"):
        server._listen(WebSettings(port=taken.getsockname()[1]))


def test_heads_of_the_chain_are_written_outside_of_the_database(full: PageUnderTest) -> None:
    """With a seal that counts."""
    server.export(full.settings, full.stores)
    path = full.settings.audit_heads_file
    assert json.loads(path.read_text())["last_id"] == len(full.stores.audit.events())
    assert len(exported_heads(path, read_key(full.settings.audit_key_file))) == 1


def test_a_disk_that_fails_does_not_end_the_page(full: PageUnderTest) -> None:
    """It is tried again."""
    full.settings.audit_heads_file.mkdir()
    server.export(full.settings, full.stores)


def test_what_is_done_every_hour_is_done_now_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then not again before the time."""
    done: list[int] = []
    hourly = server._every(3600, lambda: done.append(1))
    hourly()
    hourly()
    assert done == [1]
