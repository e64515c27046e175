"""What a process may still do after it has confined itself: read, compute, and write to what it holds open.

Two layers. Resource limits bound memory, processor time, files and processes everywhere. Where the kernel has Landlock
(Linux 5.13 or later), it also takes away making, changing and removing files, running programs and TCP. Neither can be
given back.
"""

import ctypes
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.errors import Fatal

# The same numbers on every architecture that has these calls: include/uapi/asm-generic/unistd.h.
_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_DESCRIPTORS: Final = 64
_PAGES: Final = 0
# include/uapi/linux/landlock.h; reading (bits 2 and 3) stays allowed: libraries load parts of themselves late.
_READING: Final = (1 << 2) | (1 << 3)
_FILE_RIGHTS_BY_VERSION: Final = ((1, 13), (2, 14), (3, 15), (5, 16))
"""From which version on how many rights to files there are."""
_TCP: Final = 0b11
_TCP_SINCE: Final = 4
_SIGNALS_AND_ABSTRACT_SOCKETS: Final = 0b11
_SCOPES_SINCE: Final = 6


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a confined process may use from the moment on at which it confines itself."""

    memory_bytes: int
    """Of address space, beside what is loaded already."""
    cpu_s: int
    """Of processor time, beside what was spent already."""
    file_bytes: int
    """How far a file that it holds open may grow."""


def confine(bounds: Bounds) -> bool:
    """Confine this process for the rest of its life; whether Landlock took part. Fatal when it cannot be limited."""
    if sys.platform != "linux":
        raise Fatal("a process can be confined on Linux alone")
    _limit(bounds)
    return _landlock()


def landlock_version() -> int:
    """The version of Landlock that this kernel has; 0 when it has none."""
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)))


class _Rules(ctypes.Structure):
    """``struct landlock_ruleset_attr``."""

    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


def _limit(bounds: Bounds) -> None:
    """Set the resource limits, each no higher than it was."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    loaded = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[_PAGES]) * resource.getpagesize()
    limits = {
        resource.RLIMIT_AS: loaded + bounds.memory_bytes,
        resource.RLIMIT_CPU: int(usage.ru_utime + usage.ru_stime) + 1 + bounds.cpu_s,
        resource.RLIMIT_FSIZE: bounds.file_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: _DESCRIPTORS,
    }
    for kind, limit in limits.items():
        _, hard = resource.getrlimit(kind)
        lowest = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lowest, lowest))


def _landlock() -> bool:
    """Take away everything that Landlock knows, but reading; no rule gives any of it back."""
    version = landlock_version()
    if version == 0:
        return False
    rights = max(count for since, count in _FILE_RIGHTS_BY_VERSION if version >= since)
    rules = _Rules(files=((1 << rights) - 1) & ~_READING)
    if version >= _TCP_SINCE:
        rules.net = _TCP
    if version >= _SCOPES_SINCE:
        rules.scopes = _SIGNALS_AND_ABSTRACT_SOCKETS
    libc = _libc()
    descriptor = _checked(libc.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(ctypes.sizeof(rules)), 0))
    try:
        _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(libc.syscall(_RESTRICT_SELF, descriptor, 0))
    finally:
        os.close(descriptor)
    return True


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        raise Fatal(f"Landlock does not confine this process: {os.strerror(ctypes.get_errno())}")
    return result
