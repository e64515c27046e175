"""The house: which room may know which, where a line belongs, and that nothing lies around unused."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from node import log
from node.domain.audit import AuditAction
from node.domain.reasons import BundleFault, ReasonCode

ROOT = Path(__file__).parents[2]
ROOMS = ("node", "workers", "models", "migrations")

# What the house names; dotfiles belong to tools.
TOP_LEVEL = {
    "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "NOTICE", "README.md", "deploy", "migrations", "models",
    "node", "pyproject.toml", "tests", "workers",
}  # fmt: skip

# Modules without a unit test file of their own, each with the reason.
TESTED_ELSEWHERE = {
    "migrations/env.py": "alembic's entry: every store test migrates through it",
    "migrations/versions/0001_first_tables.py": "tests/unit/node/store/test_session.py compares it with the tables",
    "migrations/versions/0002_retention.py": "as 0001_first_tables.py",
    "migrations/versions/0003_clinical_values.py": "as 0001_first_tables.py",
    "migrations/versions/0004_page.py": "as 0001_first_tables.py",
    "migrations/versions/0005_delivery.py": "as 0001_first_tables.py",
    "migrations/versions/0006_watching.py": "as 0001_first_tables.py",
    "migrations/versions/0007_queues.py": "as 0001_first_tables.py",
    "migrations/versions/0008_operation.py": "as 0001_first_tables.py",
    "migrations/versions/0009_telling.py": "as 0001_first_tables.py",
    "migrations/versions/0010_centre.py": "as 0001_first_tables.py",
    "migrations/versions/0011_urgent.py": "as 0001_first_tables.py",
    "workers/endings.py": "tests/unit/workers/test_analysis.py brings an analysis to every end there is",
    "node/__main__.py": "tests/unit/node/test_main.py, since a test file's name has no underscores of its own",
    "node/clinical_console.py": "as node/console.py: tests/unit/node/test_clinical_commands.py",
    "models/bundles/__main__.py": "three lines; tests/unit/models/test_bundle_store.py compares what it writes",
    "models/phantoms/__main__.py": "tests/unit/models/phantoms/test_sheet.py runs the command",
    "node/console.py": "what it prints is tested as the command that prints it, in tests/unit/node/test_main.py",
    "node/demo/contents.py": "what the demonstration prints is asserted in tests/acceptance",
    "node/demo/private_node.py": "starts a whole node: tests/acceptance",
    "node/demo/run.py": "the whole demonstration: tests/acceptance",
    "node/dicom/commands.py": "a part of the upper layer: test_upper_layer.py speaks to it in bytes",
    "node/dicom/decoder.py": "the other side of sandbox.py: test_sandbox.py talks to it",
    "node/dicom/listener.py": "a server: tests/integration/test_listener.py talks to it",
    "node/dicom/messages.py": "as commands.py",
    "node/dicom/negotiation.py": "as commands.py",
    "node/dicom/pdus.py": "as commands.py",
    "node/dicom/sandbox_wire.py": "as decoder.py",
    "node/dicom/tls.py": "tests/unit/node/dicom/test_upper_layer_tls.py",
    "node/domain/coding.py": "a table of codes; what is made of them is tested where it is written",
    "node/domain/intake.py": "words and a protocol; tests/unit/node/store/test_inbox.py gives them their meaning",
    "node/domain/ports.py": "protocols; the conformance tests of each registry hold implementations to them",
    "node/model_commands.py": "as console.py, in tests/unit/node/test_main_models.py",
    "node/research_console.py": "as console.py, in tests/unit/node/test_research_commands.py",
    "workers/study/porcelain.py": "trains: tests/unit/workers/study/test___main__.py runs it to its end, once",
    "node/store/tables.py": "tests/unit/node/store/test_session.py compares it with the migrations",
    "node/stores.py": "puts the store together: the tests of the command and of the workers open it",
    "node/auditing/__init__.py": "a docstring",
    "node/web/access.py": "who is let in: tests/unit/node/web/test_app.py asks every route, test_sign_in.py signs in",
    "node/web/site.py": "puts the page together: every test of a page opens it",
    "workers/__main__.py": "processes: tests/unit/node/test_supervisor.py and tests/acceptance start them",
}


@cache
def files() -> tuple[str, ...]:
    """Every file of the project, tracked or about to be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return tuple(name for name in done.stdout.splitlines() if (ROOT / name).is_file())


def production() -> Iterator[tuple[str, str]]:
    """Every Python file that ships, with its text."""
    for name in files():
        if name.endswith(".py") and name.startswith(tuple(f"{room}/" for room in ROOMS)):
            yield name, (ROOT / name).read_text(encoding="utf-8")


def has_behaviour(text: str) -> bool:
    """Whether a module defines a function or method that does more than say what it is."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    return any(not isinstance(function.body[-1], ast.Expr | ast.Pass) for function in functions)


def mirror(name: str) -> str:
    """The unit test file of a module."""
    path = Path(name)
    return f"tests/unit/{path.parent}/test_{path.name}"


def test_each_room_knows_only_the_rooms_below_it() -> None:
    """The contracts in pyproject.toml are kept: layers, and which library lives where."""
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_top_level_is_what_the_house_names() -> None:
    """Nothing lies in the hall."""
    found = {name.partition("/")[0] for name in files()}
    assert {name for name in found if not name.startswith(".")} <= TOP_LEVEL


def test_every_module_has_its_test_file() -> None:
    """Where the tree has a module with behaviour, the tests have its mirror, or a reason why not."""
    behaving = {name for name, text in production() if not name.endswith("__init__.py") and has_behaviour(text)}
    assert behaving
    missing = {name for name in behaving if mirror(name) not in files()}
    assert missing - TESTED_ELSEWHERE.keys() == set()


def test_every_exception_to_that_is_needed() -> None:
    """A reason for a module that is gone, or has its test file by now, is taken off the list."""
    there = dict(production())
    assert {name for name in TESTED_ELSEWHERE if name not in there or mirror(name) in files()} == set()


def test_every_unit_test_file_has_its_module() -> None:
    """A test file whose module moved moves with it; a long one may be split into ``test_module_aspect.py``."""
    modules = [mirror(name).removesuffix(".py") for name, _ in production()] + ["tests/unit/node/test_main"]
    fitting = re.compile(rf"({'|'.join(modules)})(_\w+)?\.py")
    tests = {name for name in files() if name.startswith("tests/unit/") and Path(name).name.startswith("test_")}
    assert {name for name in tests if not fitting.fullmatch(name)} == set()


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """No path of a person's or a build machine's folders."""
    somebodys = re.compile(r"(?<![\w.])/(?:home|root|work|Users)/\w")
    text = {".py", ".md", ".toml", ".sh", ".json", ".lua", ".yml", ".yaml", ""}
    for name in files():
        if Path(name).suffix in text:
            found = somebodys.search((ROOT / name).read_text(encoding="utf-8"))
            assert found is None, f"{name}: {found}"


@pytest.mark.parametrize("vocabulary", [ReasonCode, BundleFault, AuditAction], ids=lambda one: one.__name__)
def test_every_word_of_a_vocabulary_is_said(vocabulary: type[ReasonCode | BundleFault | AuditAction]) -> None:
    """A reason or action that nothing gives is a promise that nobody keeps."""
    said = "\n".join(text for _, text in production())
    unsaid = {word for word in vocabulary.__members__ if not re.search(rf"{vocabulary.__name__}\.{word}\b", said)}
    assert unsaid == set()


def test_every_event_of_the_log_is_written() -> None:
    """The same for the constants of the log."""
    said = "\n".join(text for name, text in production() if name != "node/log.py")
    events = {name for name, value in vars(log).items() if name.isupper() and isinstance(value, str)}
    assert len(events) > 20
    assert {name for name in events if not re.search(rf"\blog\.{name}\b", said)} == set()
