"""Errors: what they carry, and what a caller that catches a kind of them gets."""

import errno
import os

import pytest

from node import errors
from node.domain.reasons import BundleFault, Reason, ReasonCode
from node.errors import (
    BundleError,
    CeladonError,
    NoRoom,
    Quarantined,
    Refused,
    RefusedAtDoor,
    Rejected,
    Retryable,
    StorageFailed,
    of_disk,
)


@pytest.mark.parametrize("kind", [Refused, RefusedAtDoor, Quarantined])
def test_a_rejection_carries_its_reason(kind: type[Rejected]) -> None:
    """Code and detail for programs, both in the message for people."""
    error = kind(ReasonCode.NOT_CT, "modality MR")
    assert error.reason == Reason(ReasonCode.NOT_CT, "modality MR")
    assert str(error) == "NOT_CT: modality MR"


def test_only_the_surroundings_are_tried_again() -> None:
    """Nothing that is the input's or the installation's fault is Retryable, and the tree above is complete."""
    kinds = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and kind.__base__ is not None}
    ours = {name for name, kind in kinds.items() if issubclass(kind, CeladonError)}
    again = {"Retryable", "NoRoom", "StoreAway", "StorageFailed", "DeviceFull"}
    assert {name for name in ours if issubclass(kinds[name], Retryable)} == again
    assert all(name in str(errors.__doc__) for name in ours)


def test_a_bundle_s_fault_is_coded() -> None:
    """The code for programs, code and detail for people; without one, the bundle does not fit."""
    error = BundleError("x.json: field version is missing", BundleFault.BUNDLE_METADATA)
    assert error.fault is BundleFault.BUNDLE_METADATA
    assert str(error) == "BUNDLE_METADATA: x.json: field version is missing"
    assert BundleError("x").fault is BundleFault.BUNDLE_UNFIT


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, NoRoom),
        (errno.EDQUOT, NoRoom),
        (errno.EIO, StorageFailed),
        (errno.ESTALE, StorageFailed),
        (errno.EAGAIN, StorageFailed),
        (errno.EROFS, StorageFailed),
    ],
)
def test_what_a_disk_says_is_told_apart(number: int, kind: type[Retryable]) -> None:
    """A full disk is waited for; one that fails is tried again; what a library has put for the words is not told."""
    found = of_disk(OSError(number, "while at Anna's file", "a path"), "the results cannot be written")
    assert type(found) is kind
    assert str(found) == f"the results cannot be written: {os.strerror(number)}"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EISDIR, None])
def test_what_no_trying_mends_is_not_tried_again(number: int | None) -> None:
    """Rights and programs' mistakes are for a person."""
    assert of_disk(OSError(number, "the system's words"), "a file cannot be read") is None
