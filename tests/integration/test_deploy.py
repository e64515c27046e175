"""What deploy/ ships: hardened, pinned, and in step with the program that it runs."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.main import get_command

from node.__main__ import app
from node.settings import read_settings
from tests.page import open_page
from tests.servers import require

DEPLOY = Path(__file__).parents[2] / "deploy"
FLEET, MONITORING = DEPLOY / "fleet", DEPLOY / "monitoring"
COMPOSE = yaml.safe_load((FLEET / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("celadon:")}
MANIFESTS = sorted(path for path in (FLEET / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
UNITS = sorted((FLEET / "systemd").glob("*.service"))
MOST_EXPOSED = 3.0
"""Of 10, as ``systemd-analyze security`` counts; 3 and less it calls OK."""


def documents() -> Iterator[dict[str, Any]]:
    """Every object of the manifests."""
    for path in MANIFESTS:
        yield from filter(None, yaml.safe_load_all(path.read_text(encoding="utf-8")))


def pods() -> Iterator[dict[str, Any]]:
    """The pods of all workloads."""
    yield from (one["spec"]["template"]["spec"] for one in documents() if "template" in one.get("spec", {}))


def accepts(arguments: list[str]) -> bool:
    """Whether the program knows such a command with such options."""
    command = get_command(app)
    words = list(arguments)
    while words and hasattr(command, "commands"):
        if words[0] not in command.commands:
            return False
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    return all(word in known for word in words if word.startswith("--"))


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned_to_a_version(name: str) -> None:
    """A container that is started again is the one that was tried."""
    version = SERVICES[name]["image"].partition(":")[2]
    assert re.search(r"\d+\.\d+", version), version


@pytest.mark.parametrize("name", OURS)
def test_our_containers_may_do_nothing_that_they_need_not(name: str) -> None:
    """Nobody's root, nothing to write but the data and /tmp, and a command that the program knows."""
    one = OURS[name]
    assert one["read_only"]
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert one["user"].split(":")[0] not in ("0", "root")
    assert accepts([word for word in one["command"] if "$" not in word])


def test_no_secret_has_a_default() -> None:
    """Whoever forgets to set one is told so, and is not given one that everybody knows."""
    text = (FLEET / "compose.yaml").read_text(encoding="utf-8")
    secrets = re.findall(r"\$\{(\w*PASSWORD\w*)(.*?)\}", text)
    assert secrets
    assert {rest for _, rest in secrets} == {":?"}


def test_nothing_but_the_listener_is_open_to_the_network() -> None:
    """Page, trial and dashboards are on loopback, behind whatever a site has before them."""
    ports = {port for one in SERVICES.values() for port in one.get("ports", ())}
    assert {port for port in ports if not port.startswith("127.0.0.1:")} == {"11112:11112"}


def test_the_dockerfile_is_pinned_and_ends_as_nobody() -> None:
    """What hadolint asks for: pinned bases, no ADD, no sudo, no package lists left, exec form, a user at the end."""
    lines = [line for line in (FLEET / "Dockerfile").read_text(encoding="utf-8").splitlines() if line[:1].isupper()]
    words = [line.split() for line in lines]
    assert all(re.search(r":\d+\.\d+\.\d+", one[1]) for one in words if one[0] == "FROM")
    assert {"ADD", "MAINTAINER"}.isdisjoint({one[0] for one in words})
    assert not any("sudo" in line or "curl" in line or "apt-get" in line for line in lines)
    assert [one[1] for one in words if one[0] == "USER"][-1] == "10001:10001"
    assert all(one[1].startswith("[") for one in words if one[0] in ("ENTRYPOINT", "CMD"))


def test_the_settings_that_are_shipped_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of Kubernetes, which are the same."""
    monkeypatch.setenv("CELADON_DATABASE_URL", "postgresql+psycopg://u@h/d")
    assert read_settings(FLEET / "celadon.toml").dicom.ae_title == "CELADON"
    assert (FLEET / "kubernetes" / "settings.toml").read_text() == (FLEET / "celadon.toml").read_text()


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_is_valid_and_exposed_to_little(unit: Path, tmp_path: Path) -> None:
    """As systemd itself judges it, and with a command that the program knows."""
    program = require("systemd-analyze", shutil.which("systemd-analyze"))
    text = unit.read_text(encoding="utf-8")
    (command,) = re.findall(r"^ExecStart=/opt/celadon/bin/celadon (.*)$", text, re.MULTILINE)
    assert accepts(command.replace("%i", "cpu").split())
    # The programs of a site are not here: verified is everything else.
    copy = tmp_path / unit.name.replace("@", "@cpu")
    copy.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    done = subprocess.run([program, "verify", "--man=no", copy], check=False, capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if copy.name in line]
    assert complaints == []
    judged = subprocess.run(
        [program, "security", "--offline=yes", f"--threshold={MOST_EXPOSED * 10:.0f}", copy],
        check=False,
        capture_output=True,
        text=True,
    )
    assert judged.returncode == 0, judged.stdout[-2000:] + judged.stderr


@pytest.mark.parametrize("document", list(documents()), ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_every_object_is_one_of_kubernetes(document: dict[str, Any]) -> None:
    """By the schemas of its API; KEDA's own are not among those."""
    if document["apiVersion"].startswith("keda.sh/"):
        assert {one["metadata"]["name"] for one in documents() if one["kind"] == "Deployment"} >= {
            document["spec"]["scaleTargetRef"]["name"]
        }
        return
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_every_pod_is_restricted() -> None:
    """As the restricted pod security standard asks, and with a file system that nobody writes."""
    assert len(list(pods())) == 5
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod["automountServiceAccountToken"]
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"]
            assert not security["allowPrivilegeEscalation"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            assert accepts(container["args"])


def test_rules_and_dashboard_ask_for_metrics_that_there_are(tmp_path: Path) -> None:
    """A panel of a metric that was renamed would be empty for ever."""
    given = open_page(tmp_path).client().get("/metrics").text
    there = set(re.findall(r"^# TYPE (\w+)", given, re.MULTILINE))
    there |= {f"{name}_bucket" for name in there}
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8"))
    asked = [rule["expr"] for rule in rules]
    asked += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    scaled = [one["spec"]["triggers"][0]["metadata"]["query"] for one in documents() if one["kind"] == "ScaledObject"]
    names = set(re.findall(r"celadon_\w+", " ".join(asked + scaled)))
    assert len(names) > 15
    assert names - there == set()
