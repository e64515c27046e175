"""The site: everything that the pages of one process share."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Final

from node.dicom.sandbox import Decoder
from node.domain.access import Person
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.settings import Settings
from node.store.chain import read_key
from node.store.users import Lifetimes
from node.stores import Stores, open_sandbox
from node.web.lately import Lately
from node.web.limits import Gate, RateLimit
from node.web.pages import Pages
from node.web.pictures import Pictures

_VERIFIED_AT_ONCE: Final = 2
_VERIFIED_LATER: Final = 8
"""Passwords that are looked at together, and that wait: more would hold the threads that answer everybody else."""

Details = dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class About:
    """What a row of the audit trail is about."""

    job_id: str = ""
    series_uid: str = ""
    study_uid: str = ""
    instance_uid: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """What every route may use."""

    settings: Settings
    stores: Stores
    pages: Pages
    pictures: Pictures
    secret: bytes
    """What tokens against forged requests are made with: the same after a restart."""
    requests: RateLimit
    sign_ins: RateLimit
    verifying: Gate
    """Of passwords: each takes much memory for a moment, on purpose."""
    version: str
    lately: Lately

    @classmethod
    def open(cls, settings: Settings, stores: Stores | None = None, decoder: Decoder | None = None) -> "Site":
        """The site of ``settings``; Fatal when the database needs an upgrade."""
        stores = stores or Stores.open(settings)
        key = read_key(settings.audit_key_file)
        return cls(
            settings=settings,
            stores=stores,
            pages=Pages(),
            pictures=Pictures(stores, decoder or open_sandbox(settings, processes=2)),
            secret=hmac.new(key, b"web", hashlib.sha256).digest(),
            requests=RateLimit(settings.web.requests_per_minute),
            sign_ins=RateLimit(settings.web.sign_ins_per_minute),
            verifying=Gate(_VERIFIED_AT_ONCE, _VERIFIED_LATER),
            version=version("celadon"),
            lately=Lately(),
        )

    @property
    def lifetimes(self) -> Lifetimes:
        """How long sessions hold."""
        web = self.settings.web
        return Lifetimes(timedelta(minutes=web.idle_minutes), timedelta(hours=web.session_hours))

    @property
    def is_open(self) -> bool:
        """Whether everybody on this machine may do everything: on loopback, while nobody was ever set up."""
        return self.settings.web.is_local and self.settings.web.oidc is None and self.stores.users.is_empty()

    def tell(
        self,
        person: Person | str,
        action: AuditAction,
        outcome: AuditOutcome = AuditOutcome.SUCCESS,
        details: Details | None = None,
        about: About | None = None,
    ) -> None:
        """Add a row to the audit trail."""
        actor = person if isinstance(person, str) else person.actor
        subject = about or About()
        event = AuditEvent(
            at=datetime.now(UTC),
            actor=actor,
            action=action,
            outcome=outcome,
            study_uid=subject.study_uid,
            series_uid=subject.series_uid,
            instance_uid=subject.instance_uid,
            job_id=subject.job_id,
            details=details or {},
        )
        self.stores.audit.record(event)
