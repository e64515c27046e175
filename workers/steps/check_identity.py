"""Check identity: ask the archive, just before delivery, whom it has the study filed under, and act on its answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.dicom.query import read_identity
from node.domain.identifiers import StudyUID
from node.domain.identity import Correction, StudyIdentity, correction, differences
from node.domain.lifecycle import DeliveryState
from node.domain.reporting import Delivery, DeliveryOutcome
from node.errors import Fatal, Retryable
from node.settings import IdentityCheck

Ask = Callable[[StudyUID], StudyIdentity | None]
"""Whom the archive has a study filed under; None when it holds no such study. Retryable when it does not answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Why the objects may not be delivered now, and what would let them."""

    state: DeliveryState
    """PENDING (the archive did not say) or HELD."""
    detail: str
    """Names attributes, never their values."""
    change: Correction | None = None
    """What makes the results those of the archive's patient and accession, where that is asked for."""

    def outcomes(self, deliveries: Sequence[Delivery]) -> tuple[DeliveryOutcome, ...]:
        """The same for every object."""
        return tuple(DeliveryOutcome(one.object_uid, self.state, self.detail) for one in deliveries)


def check_identity(made: Path, check: IdentityCheck, ask: Ask) -> Finding | None:
    """What stands against delivering the objects of which ``made`` is one; None when nothing does."""
    try:
        study, ours = read_identity(made)
        theirs = ask(study)
    except Retryable as exc:
        return Finding(DeliveryState.PENDING, f"the identity cannot be checked now: {exc}")
    except Fatal as exc:
        return Finding(DeliveryState.HELD, f"the identity cannot be checked: {exc}")
    return _compared(ours, theirs, check)


def _compared(ours: StudyIdentity, theirs: StudyIdentity | None, check: IdentityCheck) -> Finding | None:
    if theirs is None:
        return Finding(DeliveryState.HELD, "the archive does not hold this study any more, or not yet")
    different = differences(ours, theirs)
    if not different:
        return None
    said = f"the archive has the study under another {', '.join(different)}"
    if check is not IdentityCheck.CORRECT:
        return Finding(DeliveryState.HELD, said)
    change = correction(ours, theirs)
    if change is None:
        return Finding(DeliveryState.HELD, f"{said}, and its answer cannot be taken over: letters are missing")
    return Finding(DeliveryState.HELD, f"{said}: made anew under it", change)
