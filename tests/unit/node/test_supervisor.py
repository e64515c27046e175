"""The supervisor: starts every role, starts those that die again, and leaves nobody behind when it stops."""

import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from node import log, supervisor
from node.domain.identifiers import JobId
from node.errors import Fatal, Retryable, UsageError
from node.settings import ClinicalSettings, Hl7Settings, Settings, WorkersSettings, read_settings
from node.store.audit import AuditTrail
from node.store.counters import Counted
from node.stores import open_database
from node.supervisor import Role, Supervisor, _Child, _Striker, roles
from node.watch import Limits, Task
from tests.syslog_receivers import SmallReceiver, certificates

# What a role does, as text for ``python -c``; it is given ``--ready-fd N``.
ANNOUNCE = "import os, sys, time; os.write(int(sys.argv[-1]), b'{%s}\\n');"
SERVES = ANNOUNCE % '"port": 4242' + "time.sleep(60)"
WORKS = ANNOUNCE % "" + "time.sleep(60)"
BUSY = ANNOUNCE % "" + """os.write(int(sys.argv[-1]), b'{"job": "a", "token": 7, "step": "predict"}\\n');"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + WORKS
SILENT = "import time; time.sleep(60)"

# A whole supervisor in a process of its own, since it takes the process' signals.
PROGRAM = """
import os, sys
from pathlib import Path
from node import log, supervisor
from node.settings import Settings
log.configure("supervisor")
supervisor.STOP_WITHIN_S = float(sys.argv[2])
settings = Settings(data_dir=Path(sys.argv[1]))
roles = [supervisor.Role(f"role {number}", ("-c", code)) for number, code in enumerate(sys.argv[3:])]
supervisor.Supervisor(settings, roles, os.environ).run()
"""


@pytest.fixture
def children() -> Iterator[list[_Child]]:
    """Processes of this test; they are ended with it."""
    started: list[_Child] = []
    yield started
    for child in started:
        child.ask_to_stop()
        child.end(time.monotonic())


def started(children: list[_Child], code: str) -> _Child:
    """A role that has just been started."""
    child = _Child(Role("role", ("-c", code)), dict(os.environ))
    children.append(child)
    child.start()
    return child


def soon() -> float:
    """A deadline that a healthy process keeps."""
    return time.monotonic() + 10


def pid_of(child: _Child) -> int:
    """The process that fills a role now."""
    assert child.process is not None
    return child.process.pid


def die(child: _Child) -> None:
    """Let the process of a role die as if a kernel had killed it."""
    assert child.process is not None
    child.process.kill()
    child.process.wait()


def is_alive(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def ending(node: subprocess.Popen[str]) -> Iterator[None]:
    """Whatever comes of the block, the process and those that it started are gone afterwards."""
    family = [*psutil.Process(node.pid).children(), psutil.Process(node.pid)]
    try:
        yield
    finally:
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def test_a_whole_node_is_listener_analysers_deliverer_and_page() -> None:
    """As many analysers as are configured."""
    settings = Settings(workers=WorkersSettings(cpu=2))
    assert [(role.name, role.arguments) for role in roles("up", settings, None)] == [
        ("listener", ("-m", "node", "listen", "--parent", str(os.getpid()))),
        ("analyser 1", ("-m", "workers", "analyse")),
        ("analyser 2", ("-m", "workers", "analyse")),
        ("deliverer", ("-m", "workers", "deliver")),
        ("web", ("-m", "node", "web", "--parent", str(os.getpid()))),
    ]


def test_a_configured_hl7_listener_is_a_role_of_its_own() -> None:
    """It may die and be started again without the images' listener."""
    settings = Settings(clinical=ClinicalSettings(hl7=Hl7Settings(port=0)))
    found = {role.name: role.arguments for role in roles("up", settings, Path("node.toml"))}
    assert found["hl7 listener"] == (
        "-m", "node", "clinical", "listen", "--parent", str(os.getpid()), "--config", "node.toml",
    )  # fmt: skip
    assert "hl7 listener" not in [role.name for role in roles("work", settings, None)]


def test_the_listener_gives_memory_back_unless_somebody_has_chosen_otherwise() -> None:
    """What is set for a role alone reaches its process; what the environment says already stays."""
    settings = Settings()
    found = {role.name: role.environment for role in roles("up", settings, None)}
    assert dict(found["listener"])["MALLOC_ARENA_MAX"] == "2"
    assert found["analyser 1"] == found["deliverer"] == ()
    chosen = Supervisor(settings, roles("up", settings, None), {"MALLOC_ARENA_MAX": "8"})
    assert chosen._children[0].environment["MALLOC_ARENA_MAX"] == "8"
    assert chosen._children[0].environment["MALLOC_TRIM_THRESHOLD_"] == "131072"


def test_a_working_machine_has_no_listener() -> None:
    """``celadon work`` is everything else."""
    assert [role.name for role in roles("work", Settings(), None)] == ["analyser 1", "deliverer"]


def analysers(queue: str, devices: tuple[str, ...], **workers: int) -> list[tuple[str, ...]]:
    """The further arguments of each analyser, and the device that it sees."""
    found = roles("work", Settings(workers=WorkersSettings(**workers)), None, queue, devices)
    return [
        (*role.arguments[3:], *(value for _, value in role.forced)) for role in found if "analyse" in role.arguments
    ]


def test_each_gpu_has_a_process_of_its_own_and_the_others_read_headers() -> None:
    """Nobody else sees it; and what needs no model keeps no GPU waiting."""
    on_gpu = [("--queue", "gpu", "--device", "auto", name) for name in ("GPU-1", "MIG-2")]
    assert analysers("all", ("GPU-1", "MIG-2")) == [("--queue", "cpu"), *on_gpu]
    assert analysers("gpu", ("GPU-1", "MIG-2")) == on_gpu
    assert analysers("cpu", ("GPU-1", "MIG-2"), cpu=2) == [("--queue", "cpu")] * 2
    assert analysers("all", ("GPU-1", "MIG-2"), gpu=1) == [("--queue", "cpu"), on_gpu[0]]


def test_without_a_gpu_its_work_is_done_by_the_cpu() -> None:
    """Nothing waits for a device that is not there."""
    assert analysers("all", ()) == [()]
    assert analysers("gpu", ()) == [("--queue", "gpu")]
    assert analysers("all", ("GPU-1",), gpu=0) == [()]


def test_delivery_is_work_of_the_cpu() -> None:
    """A machine that is there for its GPUs sends nothing."""
    assert [role.name for role in roles("work", Settings(), None, "gpu", ("0",))] == ["analyser gpu 1"]


def test_an_analyser_may_take_so_much_and_no_more() -> None:
    """As configured; a segmentation program's own time is waited for."""
    slow = {"slow": {"kind": "nnunet", "task": "Dataset001", "labels": {1: "pancreas-lesion"}, "within_s": 3600}}
    settings = Settings.model_validate({"workers": {"memory_gb": 4, "step_s": 60}, "segmenters": slow})
    (analyser, deliverer) = roles("work", settings, None)
    assert analyser.limits == Limits(memory_bytes=4 * 10**9, step_s=3660)
    assert deliverer.limits is None


@pytest.mark.parametrize(
    ("code", "limits", "why"),
    [
        (
            BUSY + "held = bytearray(200 * 2**20); time.sleep(600)",
            Limits(150 * 2**20, 600),
            "more than 0.1 GiB of memory",
        ),
        (BUSY + "time.sleep(600)", Limits(2**40, 0.2), "more than 0.2 s"),
        (BUSY + "os.kill(os.getpid(), 11)", Limits(2**40, 600), "SIGSEGV"),
        (BUSY + "sys.exit(3)", Limits(2**40, 600), "exit code 3"),
    ],
    ids=["memory", "time", "segfault", "exit"],
)
def test_a_process_that_ends_at_a_job_is_said_with_the_reason(code: str, limits: Limits, why: str) -> None:
    """So that the job waits for no lease, and a person can read what it ended in."""
    told: list[tuple[Task, str]] = []
    child = _Child(
        Role("role", ("-c", code), limits=limits), dict(os.environ), lambda task, why: told.append((task, why))
    )
    child.start()
    try:
        child.wait_ready(soon())
        deadline = soon()
        while not told and time.monotonic() < deadline:
            child.revive()
            time.sleep(0.02)
        assert told == [(Task(JobId("a"), 7, "predict"), why)]
    finally:
        child.restart_at_s = math.inf
        if child.process is not None:
            child.process.kill()
        child.end(soon())


def test_a_process_that_ends_without_work_is_nobodys_strike(children: list[_Child]) -> None:
    """It is started again, and that is all."""
    told: list[Task] = []
    child = _Child(
        Role("role", ("-c", WORKS), limits=Limits(2**40, 600)), dict(os.environ), lambda task, _: told.append(task)
    )
    children.append(child)
    child.start()
    child.wait_ready(soon())
    die(child)
    child.revive()
    assert told == []


def test_every_role_reads_the_same_settings() -> None:
    """The file that was named is passed on."""
    for role in roles("up", Settings(), Path("node.toml")):
        assert role.arguments[-2:] == ("--config", "node.toml")


def test_a_role_is_ready_when_it_says_so(children: list[_Child]) -> None:
    """What it announces is kept."""
    child = started(children, SERVES)
    child.wait_ready(soon())
    assert child.announced == {"port": 4242}


def test_a_role_that_cannot_start_with_its_settings_is_wrong_usage(children: list[_Child]) -> None:
    """It has said itself which setting it was."""
    child = started(children, "import sys; sys.exit(2)")
    with pytest.raises(UsageError, match="role could not start with these settings"):
        child.wait_ready(soon())


@pytest.mark.parametrize("code", ["import sys; sys.exit(1)", "pass"])
def test_a_role_that_ends_at_once_is_fatal(children: list[_Child], code: str) -> None:
    """A node without one of its roles is no node."""
    child = started(children, code)
    with pytest.raises(Fatal, match="did not become ready"):
        child.wait_ready(soon())


def test_a_role_that_says_nothing_is_not_waited_for_for_ever(children: list[_Child]) -> None:
    """After the deadline it is fatal."""
    child = started(children, SILENT)
    with pytest.raises(Fatal, match="did not become ready"):
        child.wait_ready(time.monotonic() + 0.1)


def test_a_role_that_lives_is_left_alone(children: list[_Child]) -> None:
    """Watching it changes nothing."""
    child = started(children, WORKS)
    child.wait_ready(soon())
    before = pid_of(child)
    child.revive()
    assert pid_of(child) == before


def test_a_role_that_dies_is_started_again_later_each_time(children: list[_Child]) -> None:
    """After one, two, four seconds, at most half a minute."""
    child = started(children, WORKS)
    child.wait_ready(soon())
    waits = []
    for _ in range(7):
        dead = pid_of(child)
        die(child)
        now = time.monotonic()
        child.revive()
        waits.append(round(child.restart_at_s - now))
        assert child.process is None
        child.restart_at_s = 0.0
        child.revive()
        assert pid_of(child) != dead
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_a_role_that_ran_for_long_is_started_again_soon(
    children: list[_Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A steady process that dies begins at one second again."""
    monkeypatch.setattr(supervisor, "_STEADY_AFTER_S", 0.0)
    child = started(children, WORKS)
    child.wait_ready(soon())
    child.failures = 5
    die(child)
    now = time.monotonic()
    child.revive()
    assert round(child.restart_at_s - now) == 1


def test_a_role_that_was_started_again_can_announce_itself(children: list[_Child]) -> None:
    """Its pipe is open for as long as it lives: the announcement of a second life does not end it."""
    child = started(children, WORKS)
    child.wait_ready(soon())
    die(child)
    child.revive()
    child.restart_at_s = 0.0
    child.revive()
    assert child.process is not None
    with pytest.raises(subprocess.TimeoutExpired):
        child.process.wait(0.5)


def full(_: object, **__: object) -> None:
    """A system that starts no process now."""
    raise OSError(errno.EAGAIN, "Resource temporarily unavailable")


def test_a_role_that_the_system_cannot_start_now_is_tried_again_later_each_time(
    children: list[_Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, costs no descriptor, and nobody else is ended by it."""
    child = started(children, WORKS)
    child.wait_ready(soon())
    die(child)
    child.revive()
    told, open_before, waits = [], len(list(Path("/proc/self/fd").iterdir())), []
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", full)
        patch.setattr(log, "get", lambda: SimpleNamespace(error=lambda name, **fields: told.append((name, fields))))
        for _ in range(3):
            child.restart_at_s, now = 0.0, time.monotonic()
            child.revive()
            child.revive()
            waits.append(round(child.restart_at_s - now))
            assert child.process is None
    assert waits == [2, 4, 8]
    assert [(name, fields["error"]) for name, fields in told] == [
        (log.CHILD_NOT_STARTED, os.strerror(errno.EAGAIN))
    ] * 3
    assert len(list(Path("/proc/self/fd").iterdir())) < open_before
    child.restart_at_s = 0.0
    child.revive()
    assert is_alive(pid_of(child))


def test_a_role_that_the_system_cannot_start_at_first_is_waited_for(
    children: list[_Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the deadline of every other."""
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", full)
        child = started(children, SERVES)
        with pytest.raises(Fatal, match="never started"):
            child.wait_ready(time.monotonic())
    child.wait_ready(soon())
    assert child.announced == {"port": 4242}


def test_a_started_node_says_where_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for people and scripts, one file for programs; both are about the port that was really taken."""
    node = Supervisor(Settings(data_dir=tmp_path), [Role("listener", ("-c", SERVES))], os.environ)
    try:
        node._start()
        said = capsys.readouterr().out
        runtime = json.loads((tmp_path / "runtime.json").read_text())
        assert f"celadon ready dicom=CELADON@127.0.0.1:4242 data={tmp_path}" in said.splitlines()
        assert (runtime["dicom"], runtime["pid"]) == (4242, os.getpid())
        assert node._children[0].environment["CELADON_DICOM__PORT"] == "4242"
    finally:
        node._end()
    assert not (tmp_path / "runtime.json").exists()


def test_workers_beside_a_node_leave_its_file_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the same folder: it says where the node is, which goes on."""
    (tmp_path / "runtime.json").write_text('{"dicom": 4242}')
    workers = Supervisor(Settings(data_dir=tmp_path), [Role("analyser", ("-c", WORKS))], os.environ)
    try:
        workers._start()
    finally:
        workers._end()
    assert "celadon ready data=" in capsys.readouterr().out
    assert (tmp_path / "runtime.json").exists()


@pytest.mark.parametrize(("code", "seconds"), [(WORKS, 10.0), (STUBBORN, 0.3)], ids=["willing", "stubborn"])
def test_a_supervisor_that_is_asked_to_stop_leaves_nobody_behind(tmp_path: Path, code: str, seconds: float) -> None:
    """Every role is asked first, and killed when it does not end within the grace period."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(seconds), SERVES, code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        assert node.stderr is not None
        assert node.stdout.readline().startswith("celadon ready ")
        node.send_signal(signal.SIGTERM)
        with ending(node):
            assert node.wait(5) == 0
        events = [json.loads(line) for line in node.stderr.read().splitlines()]
    pids = [event["pid"] for event in events if event["event"] == "process started"]
    assert len(pids) == 2
    assert not any(is_alive(pid) for pid in pids)
    killed = [event for event in events if event["event"] == "process killed after the grace period"]
    assert len(killed) == (1 if code is STUBBORN else 0)
    assert not (tmp_path / "runtime.json").exists()


def test_a_role_that_cannot_start_ends_the_others(tmp_path: Path) -> None:
    """Half a node is not left running."""
    node = Supervisor(
        Settings(data_dir=tmp_path),
        [Role("good", ("-c", SERVES)), Role("bad", ("-c", "import sys; sys.exit(2)"))],
        os.environ,
    )
    with pytest.raises(UsageError, match="bad could not start"):
        node._start()
    node._end()
    assert not any(is_alive(pid_of(child)) for child in node._children)


# The whole command with a role that does nothing, so that no model is loaded.
COMMAND = """
import sys
from node import log, supervisor
code = sys.argv.pop()
supervisor.roles = lambda *_: (supervisor.Role("role", ("-c", code)),)
sys.exit(supervisor.main())
"""


def run_once(config: Path) -> None:
    """Start a node, and stop it as soon as it is ready."""
    command = [sys.executable, "-c", COMMAND, "up", "--config", str(config), SERVES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("celadon ready")
        process.terminate()
        assert process.wait(60) == 0


def actions(config: Path) -> list[str]:
    """What the audit trail says was done."""
    return [event.action.value for event in AuditTrail(open_database(read_settings(config))).events()]


def test_a_change_of_settings_is_a_row_of_the_trail(tmp_path: Path) -> None:
    """Between two starts; the same settings are no news."""
    config = tmp_path / "celadon.toml"
    config.write_text(f'data_dir = "{tmp_path / "data"}"\n')
    run_once(config)
    run_once(config)
    assert "node:settings:change" not in actions(config)
    config.write_text(f'data_dir = "{tmp_path / "data"}"\nmode = "silent"\n')
    run_once(config)
    assert actions(config)[-3:] == ["node:settings:change", "node:service:start", "node:service:stop"]


def test_the_audit_repository_hears_that_the_node_starts_and_stops(tmp_path: Path) -> None:
    """The last message too, in the same run."""
    keys = certificates(tmp_path / "tls")
    receiver = SmallReceiver(keys)
    config = tmp_path / "celadon.toml"
    config.write_text(
        f'data_dir = "{tmp_path / "data"}"\n[audit.syslog]\nhost = "localhost"\nport = {receiver.port}\n'
        f'[audit.syslog.tls]\nca = "{keys}/ca.pem"\ncertificate = "{keys}/peer.pem"\nkey = "{keys}/peer.key"\n'
    )
    run_once(config)
    receiver.stop()
    told = b"".join(receiver.messages)
    assert b'csd-code="110120"' in told, "Application Start"
    assert b'csd-code="110121"' in told, "Application Stop"


class Struck:
    """A job store that takes jobs back; ``away``: its database cannot be reached for this one."""

    def __init__(self, away: str = "") -> None:
        """Nothing was taken back yet."""
        self._away = away
        self.taken: list[tuple[str, int, str, str]] = []

    def strike(self, job_id: JobId, token: int, _actor: str, why: str, *, step: str) -> bool:
        """Take one back."""
        if job_id == self._away:
            raise Retryable("the link is cut")
        self.taken.append((job_id, token, step, why))
        return True


class Counting:
    """Counters that nobody reads."""

    def add(self, _counted: Counted) -> None:
        """Nothing."""


def test_everything_that_a_process_had_at_hand_is_taken_back() -> None:
    """With a strike each: nobody knows whose fault it was. One that cannot be written leaves the others theirs."""
    task = Task(JobId("a"), 7, "predict", ((JobId("b"), 3), (JobId("c"), 1)))
    jobs = Struck(away="b")
    _Striker(jobs, Counting()).strike(task, "SIGSEGV")  # type: ignore[arg-type]
    assert jobs.taken == [("a", 7, "predict", "SIGSEGV"), ("c", 1, "predict", "SIGSEGV, beside a")]
