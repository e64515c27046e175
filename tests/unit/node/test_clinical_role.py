"""The process that listens for HL7: announces its port, stores, and ends when it is asked to."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from node.clinical_role import listen
from node.domain.imaging import PatientIdentity
from node.errors import UsageError
from node.store.clinical import ClinicalStore
from node.store.session import Database

ROOT = Path(__file__).parents[3]
MESSAGE = (
    "MSH|^~\\&|LAB|HOSP|CELADON|NODE|20240506||ORU^R01|17|P|2.5.1\rPID|1||4711\rOBR|1||F1||||20240505\r"
    "OBX|1|NM|24108-3^CA^LN||37|U/mL|||||F\r"
)


def test_a_message_to_the_process_is_in_the_database(tmp_path: Path) -> None:
    """From its announcement to SIGTERM."""
    database = Database(f"sqlite:///{tmp_path / 'celadon.db'}")
    database.upgrade()
    environment = os.environ | {
        "CELADON_DATA_DIR": str(tmp_path),
        "CELADON_CLINICAL__HL7__PORT": "0",
        "PYTHONPATH": str(ROOT),
    }
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "node", "clinical", "listen", "--ready-fd", str(write_end)]
    process = subprocess.Popen(command, env=environment, pass_fds=(write_end,), cwd=tmp_path)
    os.close(write_end)
    try:
        with os.fdopen(read_end) as announcement:
            port = json.loads(announcement.readline())["hl7"]
        with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
            peer.sendall(b"\x0b" + MESSAGE.encode() + b"\x1c\r")
            assert b"MSA|AA|17" in peer.recv(4096)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
    (known,) = ClinicalStore(database).of(PatientIdentity("4711"))
    assert known.received.read.value == 37.0
    database.close()


def test_without_a_port_it_says_which_setting_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is listened on by default."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"clinical\.hl7\.port is not set"):
        listen(None)
