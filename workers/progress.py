"""What a worker tells its parent while it works, so that somebody notices when it hangs."""

import json
import os
from collections.abc import Collection
from contextlib import suppress
from typing import Protocol

from node.domain.lifecycle import Step
from node.store.jobs import Claim


class Progress(Protocol):
    """Hears what a worker is at."""

    def at(self, claim: Claim, step: Step | None = None, beside: Collection[Claim] = ()) -> None:
        """A job was claimed, or a step of it begins; those ``beside`` it would be lost with this process too."""
        ...

    def idle(self) -> None:
        """There is nothing that could hang."""
        ...


class Untold:
    """Nobody listens."""

    def at(self, claim: Claim, step: Step | None = None, beside: Collection[Claim] = ()) -> None:
        """Say nothing."""

    def idle(self) -> None:
        """Say nothing."""


class Told:
    """One JSON line a change on a pipe, whose reading end the parent has; never waits for it."""

    def __init__(self, descriptor: int) -> None:
        """``descriptor``: the writing end, which stays open for as long as the process lives."""
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)

    def at(self, claim: Claim, step: Step | None = None, beside: Collection[Claim] = ()) -> None:
        """Say which job and step."""
        others = [[other.job_id, other.token] for other in beside]
        self._say({"job": claim.job_id, "token": claim.token, "step": step.value if step else "", "beside": others})

    def idle(self) -> None:
        """Say that nothing is at hand."""
        self._say({"job": "", "token": 0, "step": "", "beside": []})

    def _say(self, what: dict[str, object]) -> None:
        # A parent that is gone, or does not read, has no more to say about this process either.
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self._descriptor, json.dumps(what).encode() + b"\n")
