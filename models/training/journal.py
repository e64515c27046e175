"""What a training says while it runs: bars for people, JSON lines for programs, TensorBoard's files for both.

The history of a run lives in its checkpoint; ``history.jsonl`` is written from it after each epoch, so that the log of
an interrupted training is that of an uninterrupted one. TensorBoard's event files are written by tensorboardX (MIT; it
needs protobuf and numpy alone, where tensorboard brings a web server and MLflow a database): MLflow and others read
them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from tensorboardX import SummaryWriter

HISTORY: Final = "history.jsonl"


class Journal:
    """The bars of one training, on standard error; nothing when ``quiet``."""

    def __init__(self, *, quiet: bool = False) -> None:
        console = Console(stderr=True, quiet=quiet)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[says]}"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
        )
        self._console = console
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def bar(self, name: str, total: int, done: int = 0) -> None:
        """Begin a bar, or set it anew."""
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=total, says="")
        self._progress.update(self._bars[name], total=total, completed=done)

    def step(self, name: str, says: str = "") -> None:
        """One step of a bar."""
        self._progress.update(self._bars[name], advance=1, says=says)

    def end(self, name: str) -> None:
        """Take a bar away."""
        self._progress.remove_task(self._bars.pop(name))

    def say(self, sentence: str) -> None:
        """One line, whether or not there are bars."""
        self._console.print(sentence, markup=False, highlight=False)


class RunLog:
    """History and TensorBoard files of one run, in its folder."""

    def __init__(self, folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
        self._file = folder / HISTORY
        # What an interrupted process wrote beyond its checkpoint is shown no more.
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=len(history) + 1)
        self._write(history)

    def epoch(self, history: Sequence[Mapping[str, Any]]) -> None:
        """The last epoch of ``history`` is over."""
        self._write(history)
        last = history[-1]
        for name, value in last.items():
            if name != "epoch" and isinstance(value, float):
                self._writer.add_scalar(name, value, last["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """No more epochs."""
        self._writer.close()

    def _write(self, history: Sequence[Mapping[str, Any]]) -> None:
        part = self._file.with_suffix(".part")
        part.write_text("".join(json.dumps(dict(entry)) + "\n" for entry in history), encoding="utf-8")
        part.replace(self._file)
