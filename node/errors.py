"""Every error that Celadon raises on purpose.

    CeladonError
    ├── UsageError            a person typed or configured something wrong (exit code 2)
    ├── Rejected              the input is at fault; trying again cannot help
    │   ├── RefusedAtDoor     an instance that is answered with a DIMSE failure status
    │   ├── Refused           a series that is not analysed, with a coded reason
    │   └── Quarantined       a series that a person must look at, with a coded reason
    ├── Retryable             the surroundings are at fault; trying again may help
    │   ├── NoRoom            a disk or a database is full: it is waited for, however long that takes
    │   ├── StoreAway         an object store does not answer: it is waited for, however long that takes
    │   ├── StorageFailed     a disk does not do what it should: it is tried a few times, then a person must look
    │   └── DeviceFull        a GPU has no memory left: it is tried alone, then on the CPU
    ├── SourceSilent          a clinical source cannot be asked; the analysis goes on without it
    └── Fatal                 Celadon itself or its installation is at fault; a person must look
        └── BundleError       a model bundle is incomplete, changed or does not fit

What never leaves its room (a protocol fault, a lost lease) stands below ``CeladonError`` where it is raised.
Workers retry ``Retryable`` alone; foreign errors are translated where they enter.
"""

import errno
import os
from typing import Final

from node.domain.reasons import BundleFault, Reason, ReasonCode

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_MAY_PASS: Final = frozenset(
    {
        errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENODEV, errno.ENOENT,
        errno.ENOMEM, errno.ENOTCONN, errno.ENXIO, errno.EREMOTEIO, errno.EROFS, errno.ESTALE, errno.ETIMEDOUT,
    }
)  # fmt: skip
"""Of disks and network file systems: what a cable, a server or a restart may mend."""


class CeladonError(Exception):
    """The root: catch it to catch everything that Celadon raises on purpose."""


class UsageError(CeladonError):
    """Wrong usage or settings; the message is one line that says which setting and why."""


class Rejected(CeladonError):
    """The input is at fault. Carries the coded reason."""

    def __init__(self, code: ReasonCode, detail: str = "") -> None:
        """``detail`` says what and where, without patient data."""
        self.reason = Reason(code, detail)
        super().__init__(str(self.reason))


class RefusedAtDoor(Rejected):
    """An instance that was not stored; the listener answers with the status that its reason has."""


class Refused(Rejected):
    """A series, annotation or region that is not analysed."""


class Quarantined(Rejected):
    """A series that must not be analysed until a person has looked at it."""


class Retryable(CeladonError):
    """Something outside failed that may work later: a locked database, an archive that does not answer."""


class SourceSilent(CeladonError):
    """A clinical source that could not be asked; carries a short code for people and metrics."""

    def __init__(self, code: str) -> None:
        """``code``: as short as ``HTTP_500``, without anything that the source has said."""
        super().__init__(code)
        self.code = code


class NoRoom(Retryable):
    """A disk or a database is full. Nothing is lost by waiting until somebody makes room."""


class StoreAway(Retryable):
    """The object store that holds the blobs does not answer, or does not let us. Nothing is lost by waiting for it."""


class StorageFailed(Retryable):
    """A disk or a file system failed while it was read or written: for a moment, or for good."""


class DeviceFull(Retryable):
    """A GPU has no memory for this case now."""


def of_disk(error: OSError, what: str) -> Retryable | None:
    """What the system said of a file, in our words; None for what no trying again can mend, such as a lack of rights.

    ``what`` was to be done, without patient data.
    """
    # The system's words for the number: a library may have put others, which quote what it was at, in their place.
    said = os.strerror(error.errno or 0)
    if error.errno in _NO_ROOM:
        return NoRoom(f"{what}: {said}")
    return StorageFailed(f"{what}: {said}") if error.errno in _MAY_PASS else None


class Fatal(CeladonError):
    """Something is wrong with this installation."""


class BundleError(Fatal):
    """A model bundle is incomplete, changed or does not fit; carries the coded fault."""

    def __init__(self, detail: str, fault: BundleFault = BundleFault.BUNDLE_UNFIT) -> None:
        """``detail`` names the file, and the field where there is one."""
        self.fault = fault
        self.detail = detail
        super().__init__(f"{fault.name}: {detail}")
