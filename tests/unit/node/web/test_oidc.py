"""Signing in with an identity provider: roles from claims; the rest is Authlib's."""

from pathlib import Path
from typing import Any

import pytest
from authlib.integrations.base_client import OAuthError
from joserfc.errors import BadSignatureError

from node.domain.access import Role
from node.errors import UsageError
from node.settings import OidcSettings
from node.web import oidc
from tests.page import HASHED, PageUnderTest, open_page

SETTINGS = OidcSettings(
    issuer="https://id.example", client_id="celadon", roles={"radiology": Role.READER, "pacs": Role.OPERATOR}
)


class FakeProvider:
    """A provider that has signed somebody in with these claims."""

    def __init__(self, claims: dict[str, Any]) -> None:
        """``claims``: of the identity token, verified already."""
        self._claims = claims

    async def authorize_access_token(self, _: object) -> dict[str, Any]:
        """What Authlib gives after it has verified everything."""
        return {"userinfo": self._claims}


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"groups": ["radiology"]}, Role.READER),
        ({"groups": "pacs"}, Role.OPERATOR),
        ({"groups": ["radiology", "pacs"]}, Role.OPERATOR),
        ({"groups": ["x"]}, None),
        ({"groups": [["radiology"]]}, None),
        ({"groups": {"radiology": 1}}, None),
        ({}, None),
    ],
)
def test_roles_come_from_a_claim_by_a_table(claims: dict[str, Any], role: Role | None) -> None:
    """The one that may do most; whoever has none has nothing."""
    assert oidc.role_of(claims, SETTINGS) is role


@pytest.fixture
def page(tmp_path: Path, migrated: Path) -> PageUnderTest:
    """A page whose people come from a provider."""
    return open_page(tmp_path, migrated, oidc=SETTINGS)


@pytest.mark.parametrize(
    ("claims", "status"),
    [({"preferred_username": "carla", "groups": ["pacs"]}, 303), ({"preferred_username": "dora", "groups": []}, 403),
     ({"groups": ["pacs"]}, 403), ({"preferred_username": " ", "groups": ["pacs"]}, 403),
     ({"preferred_username": "a\x00b", "groups": ["pacs"]}, 403),
     ({"preferred_username": "n" * 59, "groups": ["pacs"]}, 303),
     ({"preferred_username": "n" * 60, "groups": ["pacs"]}, 403)],
)  # fmt: skip
def test_whoever_has_a_name_and_a_role_is_let_in(
    page: PageUnderTest, monkeypatch: pytest.MonkeyPatch, claims: dict[str, Any], status: int
) -> None:
    """And nobody else; both are in the trail."""
    monkeypatch.setattr(oidc, "client", lambda _: FakeProvider(claims))
    client = page.client()
    assert client.get(oidc.CALLBACK).status_code == status
    assert (client.get("/").status_code == 200) == (status == 303)
    assert ("person:session:begin" if status == 303 else "person:session:refuse") in page.actions()


@pytest.mark.parametrize("error", [OAuthError("mismatching_state"), BadSignatureError(), ValueError("no JSON")])
def test_a_token_that_does_not_hold_lets_nobody_in(
    page: PageUnderTest, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """401 and a row of the trail, whichever library has found it out."""

    class Refusing:
        async def authorize_access_token(self, _: object) -> dict[str, Any]:
            raise error

    monkeypatch.setattr(oidc, "client", lambda _: Refusing())
    assert page.client().get(oidc.CALLBACK).status_code == 401
    assert "person:session:refuse" in page.actions()


def test_a_page_with_a_provider_is_not_open(page: PageUnderTest) -> None:
    """Also without users of its own; the form offers the provider."""
    client = page.client()
    assert client.get("/").status_code == 303
    assert "/login/oidc" in client.get("/login").text


def test_without_one_there_is_no_such_way(tmp_path: Path, migrated: Path) -> None:
    """404."""
    assert open_page(tmp_path, migrated).client().get(oidc.CALLBACK).status_code == 404


def test_people_of_the_provider_are_nobody_with_an_account_here(
    page: PageUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of one name have verdicts and rows of their own, and who disables one leaves the other signed in."""
    page.stores.users.add("carla", HASHED, Role.READER)
    monkeypatch.setattr(oidc, "client", lambda _: FakeProvider({"preferred_username": "carla", "groups": ["pacs"]}))
    client = page.client()
    client.get(oidc.CALLBACK)
    assert "person oidc:carla" in {event.actor for event in page.stores.audit.events()}
    page.stores.users.disable("carla")
    assert "oidc:carla" in client.get("/").text
    with pytest.raises(UsageError):
        page.stores.users.add("oidc:carla", HASHED, Role.READER)
