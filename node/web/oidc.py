"""Signing in with an OpenID Connect provider: authorisation code with PKCE, by Authlib.

OpenID Connect Core 1.0, section 3.1. Roles come from a claim and a table in the settings; whoever has none stays out.

What such a person is called here begins with ``oidc:``, which no account of this node can: of two people with one name,
one of the provider's and one of this node's, each has verdicts and rows of the audit trail of their own.
"""

from collections.abc import Mapping
from typing import Any, Final

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from fastapi import APIRouter, HTTPException, Request, Response
from httpx import HTTPError
from joserfc.errors import JoseError
from starlette.concurrency import run_in_threadpool

from node.domain.access import Role, highest
from node.domain.audit import AuditAction, AuditOutcome
from node.settings import OidcSettings
from node.web.access import TheSite
from node.web.sign_in import begin
from node.web.site import Site

router = APIRouter(include_in_schema=False)

CALLBACK: Final = "/login/oidc/callback"
PREFIX: Final = "oidc:"
LONGEST_NAME: Final = 64
"""Characters, with the prefix: one that is longer is refused, for cut short it may be somebody else's."""
_ASK: Final = "Ask the administrator of Celadon."
_REFUSALS: Final = (AuthlibBaseError, JoseError, HTTPError, ValueError, RuntimeError)
"""What Authlib lets through: its own, those of the library that reads tokens, no answer, and one without sense."""


def client(settings: OidcSettings) -> Any:
    """Authlib's client of the provider; nothing is asked before somebody signs in."""
    registry = OAuth()
    registry.register(
        name="provider",
        server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
        client_id=settings.client_id,
        client_secret=settings.client_secret.get_secret_value() or None,
        client_kwargs={"scope": settings.scope, "code_challenge_method": "S256"},
    )
    return registry.create_client("provider")


def role_of(claims: Mapping[str, Any], settings: OidcSettings) -> Role | None:
    """What somebody with these claims may be; None: nothing."""
    said = claims.get(settings.role_claim)
    values = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    return highest([settings.roles[value] for value in values if isinstance(value, str) and value in settings.roles])


def name_of(claims: Mapping[str, Any], settings: OidcSettings) -> str:
    """What somebody with these claims is called here; empty when they have no name, or one that cannot be kept."""
    said = str(claims.get(settings.name_claim) or claims.get("sub") or "").strip()
    name = f"{PREFIX}{said}"
    return name if said and said.isprintable() and len(name) <= LONGEST_NAME else ""


@router.get("/login/oidc")
async def leave(request: Request, site: TheSite) -> Response:
    """Go to the provider."""
    provider = client(_settings(site))
    base = site.settings.web.public_url or str(request.base_url).rstrip("/")
    try:
        response: Response = await provider.authorize_redirect(request, f"{base}{CALLBACK}")
    except _REFUSALS as exc:
        raise HTTPException(502, "The identity provider does not answer.") from exc
    return response


@router.get(CALLBACK)
async def come_back(request: Request, site: TheSite) -> Response:
    """Come back from the provider."""
    settings = _settings(site)
    try:
        token = await client(settings).authorize_access_token(request)
    except _REFUSALS as exc:
        await run_in_threadpool(_refuse, site, "not signed in")
        raise HTTPException(401, "The identity provider has not signed you in.") from exc
    claims: Mapping[str, Any] = token.get("userinfo") or {}
    name, role = name_of(claims, settings), role_of(claims, settings)
    if not name:
        await run_in_threadpool(_refuse, site, "no name")
        raise HTTPException(403, f"{settings.name_claim} has no name that can be kept here. {_ASK}")
    if role is None:
        await run_in_threadpool(_refuse, site, "no role")
        raise HTTPException(403, f"You have an account, but no role here. {_ASK}")
    return await run_in_threadpool(begin, request, site, name, role, is_local=False)


def _settings(site: Site) -> OidcSettings:
    if site.settings.web.oidc is None:
        raise HTTPException(404)
    return site.settings.web.oidc


def _refuse(site: Site, why: str) -> None:
    site.tell("somebody", AuditAction.SIGN_IN_REFUSED, AuditOutcome.REFUSED, {"why": why})
