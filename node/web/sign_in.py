"""Signing in and out with an account of this node."""

from collections.abc import Iterable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from node.domain.access import Role
from node.domain.audit import AuditAction, AuditOutcome
from node.store.users import User
from node.web import passwords
from node.web.access import TheSite, end_session, find_person, is_secure, require_meant, start_session
from node.web.limits import Crowded
from node.web.showing import SEE_OTHER, show
from node.web.site import Site

router = APIRouter(include_in_schema=False)

_LONGEST: Final = 256
_WRONG: Final = "Name or password is wrong."
_TOO_OFTEN: Final = "Too many attempts. Try again in a minute."
_CROWDED: Final = "Too many people sign in at this moment. Try again in a few seconds."


@router.get("/login")
def form(request: Request, site: TheSite) -> Response:
    """The form."""
    return _form(request, site, "", 200)


@router.post("/login", dependencies=[Depends(require_meant)])
def sign_in(
    request: Request,
    site: TheSite,
    name: Annotated[str, Form(max_length=_LONGEST)] = "",
    password: Annotated[str, Form(max_length=_LONGEST)] = "",
) -> Response:
    """Look at name and password."""
    address = request.client.host if request.client else ""
    keys = (f"address {address}", f"name {name.lower()}")
    if not _count(site, keys):
        return _form(request, site, _TOO_OFTEN, 429)
    try:
        user = _verified(site, name, password)
    except Crowded:
        _discount(site, keys)
        return _form(request, site, _CROWDED, 503)
    except Exception:
        _discount(site, keys)
        raise
    if user is None:
        # Not the name: people type passwords into the wrong field.
        site.tell("somebody", AuditAction.SIGN_IN_REFUSED, AuditOutcome.REFUSED, {"address": address})
        return _form(request, site, _WRONG, 401)
    _discount(site, keys)
    return begin(request, site, user.name, user.role, is_local=True)


@router.post("/logout", dependencies=[Depends(require_meant)])
def sign_out(request: Request, site: TheSite) -> Response:
    """End the session."""
    person = find_person(request, site)
    response = RedirectResponse("/login", SEE_OTHER)
    end_session(request, response, site)
    if person is not None:
        site.tell(person, AuditAction.SIGNED_OUT)
    return response


def begin(request: Request, site: Site, name: str, role: Role, *, is_local: bool) -> Response:
    """Begin a session and lead to the worklist."""
    secret = site.stores.users.begin_session(name, role, is_local=is_local)
    address = request.client.host if request.client else ""
    details: dict[str, str | int | float] = {"address": address, "role": role.value, "local": int(is_local)}
    site.tell(f"person {name}", AuditAction.SIGNED_IN, details=details)
    response = RedirectResponse("/", SEE_OTHER)
    start_session(response, site.settings.web, secret)
    return response


def _count(site: Site, keys: Iterable[str]) -> bool:
    """Count an attempt before it is looked at, so that many at one moment are not looked at together; False: too many.

    One that turns out right, or that nobody could look at, is not counted in the end.
    """
    counted: list[str] = []
    for key in keys:
        if not site.sign_ins.take(key):
            _discount(site, counted)
            return False
        counted.append(key)
    return True


def _discount(site: Site, keys: Iterable[str]) -> None:
    for key in keys:
        site.sign_ins.give_back(key)


def _verified(site: Site, name: str, password: str) -> User | None:
    """Whose name and password these are; None of nobody.

    Raises:
        Crowded: too many are being looked at.
    """
    user = site.stores.users.find(name)
    # Each takes 64 MiB while it is looked at.
    with site.verifying.enter():
        if not passwords.is_right(user.password if user else None, password) or user is None:
            return None
        renewed = passwords.hashed(password) if passwords.is_outdated(user.password) else ""
    if renewed:
        site.stores.users.replace_password(user.name, renewed)
    return user


def _form(request: Request, site: Site, wrong: str, status: int) -> Response:
    web = site.settings.web
    is_plain = is_secure(web) and request.url.scheme != "https" and web.public_url is None
    return show(
        request, site, None, "login.html", status, wrong=wrong, has_oidc=web.oidc is not None, is_plain=is_plain
    )
