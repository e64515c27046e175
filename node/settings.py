"""Every setting of the node, read once into a frozen object from one TOML file and the environment, which wins.

A key ``section.name`` of the file is ``CELADON_SECTION__NAME`` in the environment. An unknown key is an error: a
setting that is silently ignored is worse than none.
"""

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from node.domain.clinical import ClinicalVariable
from node.domain.coding import Anatomy
from node.domain.identifiers import AeTitle
from node.domain.reporting import ObjectKind
from node.errors import UsageError

DEFAULT_CONFIG = Path("celadon.toml")

Ae = Annotated[str, AfterValidator(AeTitle)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    """A frozen table of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PeerSettings(_Section):
    """A sender that may store to this node."""

    ae_title: Ae
    address: str
    """IP address the associations come from."""


class TlsSettings(_Section):
    """Mutual TLS (PEM files); ``deploy/tls`` says how certificates for tests are made."""

    certificate: Path
    """This node's certificate, followed by those between it and its authority."""
    key: Path
    """Its private key, without a password."""
    client_ca: Path
    """The authorities that vouch for clients; a client without a certificate is not served."""


class DicomSettings(_Section):
    """The listener."""

    ae_title: Ae = AeTitle("CELADON")
    host: str = "127.0.0.1"
    port: Port = 11112
    """0 takes a free port; ``runtime.json`` in ``data_dir`` says which."""
    peers: tuple[PeerSettings, ...] = ()
    """Who may send. Empty: anybody, allowed on loopback only."""
    tls: TlsSettings | None = None
    """None: plain TCP."""
    min_free_gb: Annotated[float, Field(ge=0)] = 5.0
    """Below this free space in gigabytes every C-STORE is answered 0xA700."""

    @model_validator(mode="after")
    def _peers_needed_off_loopback(self) -> Self:
        if not self.peers and not _is_loopback(self.host):
            raise ValueError("peers must be listed when host is not a loopback address")
        return self


class PacsSettings(_Section):
    """An archive that results are delivered to by C-STORE."""

    ae_title: Ae
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    without: tuple[str, ...] = ()
    """Kinds of object that it is not sent, for an archive that does not store them: for example ``parametric-map``."""

    @field_validator("without")
    @classmethod
    def _kinds(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = [kind.key for kind in ObjectKind]
        if unknown := [name for name in value if name not in known]:
            raise ValueError(f"there is no kind of object {unknown[0]!r}; known: {', '.join(known)}")
        return value

    @property
    def kinds_without(self) -> frozenset[ObjectKind]:
        """``without`` as kinds."""
        return frozenset(kind for kind in ObjectKind if kind.key in self.without)


class CompletionSettings(_Section):
    """When a series counts as complete."""

    quiet_min_s: Seconds = 1.0
    """Shortest silence after the last instance, when everything else says that the series is complete."""
    quiet_max_s: Seconds = 30.0
    """Silence after which a series is taken as complete whatever else is known."""
    query_peer: str | None = None
    """Which ``pacs.<name>`` is asked how many instances a series has (C-FIND). None: nobody is asked."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.quiet_min_s > self.quiet_max_s:
            raise ValueError("quiet_min_s must not be more than quiet_max_s")
        return self


class RetentionSettings(_Section):
    """How long the bytes of what is done with are kept."""

    days: Annotated[int, Field(ge=1)] | None = None
    """Days after the last verdict, delivery or arrival of a series. None: for ever."""


class RuleSettings(_Section):
    """Which series goes to which predictor: the first rule whose conditions all hold."""

    predictor: str
    """As registered: ``porcelain`` or ``gtrnet``."""
    when: dict[str, str] = Field(default_factory=dict)
    """Attribute to shell-style pattern, case ignored: ``RoiAnatomy``, ``RoiLabel`` or a DICOM keyword."""
    required: tuple[ClinicalVariable, ...] | None = None
    """The clinical variables that its series wait for. None: ``clinical.required``."""
    wait_minutes: Annotated[float, Field(ge=0)] | None = None
    """How long. None: ``clinical.wait_minutes``."""


@dataclass(frozen=True, slots=True)
class BundleChoice:
    """Which model bundle a predictor is made from, written ``NAME`` or ``NAME@sha256:DIGEST``."""

    name: str
    digest: str | None = None
    """SHA-256 that the bundle must have, lower-case hex; None: the one that was recorded when it was added."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The choice that ``text`` writes; ValueError when it writes none."""
        found = re.fullmatch(r"([a-z0-9][a-z0-9_-]{0,63})(?:@sha256:([0-9a-fA-F]{64}))?", text)
        if found is None:
            raise ValueError(f"{text!r} is not the name of a bundle, or NAME@sha256: with 64 hexadecimal digits")
        return cls(found[1], found[2].lower() if found[2] else None)


def _bundle_choice(text: str) -> str:
    BundleChoice.parse(text)
    return text


class WorkersSettings(_Section):
    """Worker processes."""

    cpu: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of analysing processes; they share the cores."""


class Hl7Settings(_Section):
    """The listener for HL7 v2 messages (MLLP)."""

    host: str = "127.0.0.1"
    port: Port
    """0 takes a free port; ``runtime.json`` in ``data_dir`` says which."""
    peers: tuple[str, ...] = ()
    """IP addresses that may connect. Empty: any, allowed on loopback only."""
    tls: TlsSettings | None = None
    """None: plain TCP."""
    encoding: Literal["ascii", "utf-8", "iso8859-1", "gb18030"] = "utf-8"
    """How messages are written that do not say so (MSH-18)."""
    codes: dict[str, ClinicalVariable] = Field(default_factory=dict)
    """Local codes (first component of OBX-3) of senders without LOINC, and what each names."""
    reports: tuple[str, ...] = ()
    """Local codes of pathology texts, from which unambiguous phrases are read."""
    max_mb: Annotated[float, Field(gt=0)] = 10.0
    """Of one message, in megabytes; a larger one is refused."""
    connections: Annotated[int, Field(ge=1, le=256)] = 16
    """At once; one more is closed."""
    message_s: Seconds = 60.0
    """From the first byte of a message to its last."""
    idle_s: Seconds = 3600.0
    """Silence after which a connection is closed; interfaces keep theirs for days and open a new one when it ends."""

    @model_validator(mode="after")
    def _peers_needed_off_loopback(self) -> Self:
        if not self.peers and not _is_loopback(self.host):
            raise ValueError("peers must be listed when host is not a loopback address")
        return self


class FhirSettings(_Section):
    """A FHIR R4 server that is asked about each patient."""

    base_url: str
    """``https://…``; plain http on loopback only."""
    identifier_system: str
    """The URI under which the server keeps the patient IDs that the images carry."""
    token_url: str | None = None
    """Where OAuth2 client credentials (RFC 6749 section 4.4) become a token. None: no token is asked for."""
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    scope: str = "system/Patient.read system/Observation.read system/Condition.read system/DiagnosticReport.read"
    resources: tuple[Literal["Observation", "Condition", "DiagnosticReport"], ...] = (
        "Observation",
        "Condition",
        "DiagnosticReport",
    )
    """What is asked for besides the Patient: laboratory values and stages, diagnoses with stages, pathology reports."""
    ca: Path | None = None
    """Authorities (PEM) that vouch for the server, where the system's do not."""
    within_s: Seconds = 15.0
    """For everything that one patient needs."""
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """For one request, when the server is busy or in trouble."""

    @model_validator(mode="after")
    def _secret_on_the_wire(self) -> Self:
        for name in ("base_url", "token_url"):
            url = urlsplit(getattr(self, name) or "https://none")
            if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.hostname or "")):
                raise ValueError(f"{name} must be https, or http on loopback")
        return self


class ClinicalSettings(_Section):
    """Clinical variables: who is asked, in what order, and for what an analysis waits."""

    sources: tuple[str, ...] = ("entered", "fhir", "hl7", "csv", "sr", "dicom-header")
    """Sources by name; of several that know a variable the first is believed. ``fhir`` is asked where it is set up."""
    issuer: str = ""
    """Issuer of the patient IDs that come without one; images and messages must agree on it."""
    stale_days: dict[ClinicalVariable, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Days before the study that a value of a variable may be old, where the shipped limit is not wanted."""
    required: tuple[ClinicalVariable, ...] = ()
    """What an analysis waits for."""
    wait_minutes: Annotated[float, Field(ge=0)] = 0.0
    """How long, counted from the complete series; then it goes on, and what is missing is imputed."""
    fhir: FhirSettings | None = None
    """None: nobody is asked."""
    hl7: Hl7Settings | None = None
    """None: nobody listens."""


class SandboxSettings(_Section):
    """The processes that decode what was received."""

    memory_gb: Annotated[float, Field(ge=0.5)] = 2.0
    """Of address space in gigabytes for each; an object that needs more counts as undecodable."""
    call_s: Seconds = 60.0
    """For one object."""


class Mode(StrEnum):
    """What happens with results."""

    LIVE = "live"
    SILENT = "silent"
    """Analyse and record, deliver nothing."""


def _default_rules() -> tuple[RuleSettings, ...]:
    return (
        RuleSettings(predictor="porcelain", when={"RoiAnatomy": "pancreas"}),
        RuleSettings(predictor="gtrnet", when={"RoiAnatomy": "stomach"}),
    )


def _default_segmenters() -> dict[str, tuple[str, ...]]:
    return {anatomy.key: ("dicom-seg",) for anatomy in Anatomy}


class Settings(BaseSettings):
    """All settings of one node."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="CELADON_", env_nested_delimiter="__", validate_default=True
    )

    data_dir: Path = Path("celadon-data")
    """Everything that the embedded node writes."""
    database_url: str = Field(default="", repr=False)
    """Any SQLAlchemy URL; empty is a SQLite file in ``data_dir``."""
    dicom: DicomSettings = Field(default_factory=DicomSettings)
    pacs: dict[str, PacsSettings] = Field(default_factory=dict)
    """Destinations by name; every result goes to each."""
    completion: CompletionSettings = Field(default_factory=CompletionSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    rules: tuple[RuleSettings, ...] = Field(default_factory=_default_rules)
    segmenter: dict[str, tuple[str, ...]] = Field(default_factory=_default_segmenters)
    """For each organ, where contours are looked for, in order."""
    models: dict[str, Annotated[str, AfterValidator(_bundle_choice)]] = Field(default_factory=dict)
    """Predictor to the bundle that it is made from, ``NAME`` or ``NAME@sha256:DIGEST``; default: the shipped one."""
    workers: WorkersSettings = Field(default_factory=WorkersSettings)
    sandbox: SandboxSettings = Field(default_factory=SandboxSettings)
    clinical: ClinicalSettings = Field(default_factory=ClinicalSettings)
    mode: Mode = Mode.LIVE

    @model_validator(mode="after")
    def _organs_known(self) -> Self:
        known = {anatomy.key for anatomy in Anatomy}
        for organ in self.segmenter:
            if organ not in known:
                raise ValueError(f"segmenter.{organ}: no such organ; known: {', '.join(sorted(known))}")
        return self

    @model_validator(mode="after")
    def _query_peer_known(self) -> Self:
        name = self.completion.query_peer
        if name is not None and name not in self.pacs:
            known = ", ".join(f"pacs.{one}" for one in sorted(self.pacs)) or "none is configured"
            raise ValueError(f"completion.query_peer: there is no pacs.{name}; known: {known}")
        return self

    @property
    def url(self) -> str:
        """The database to use."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'celadon.db').absolute()}"

    @property
    def models_dir(self) -> Path:
        """Where added model bundles lie."""
        return self.data_dir / "models"

    @property
    def runtime_file(self) -> Path:
        """Where a running node says which ports it took."""
        return self.data_dir / "runtime.json"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 — the signature is pydantic-settings'
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 — the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then the file that the class was read with."""
        return env_settings, init_settings, TomlConfigSettingsSource(settings_cls)


def read_settings(config: Path | None = None) -> Settings:
    """The settings from ``config`` (default: ``celadon.toml`` here, when there is one) and the environment.

    Raises:
        UsageError: one line that names the setting and says what is wrong with it.
    """
    if config is not None and not config.is_file():
        raise UsageError(f"--config {config}: there is no such file")
    path = config or DEFAULT_CONFIG
    located = type("Settings", (Settings,), {"model_config": SettingsConfigDict(toml_file=path)})
    try:
        settings: Settings = located()
    except ValidationError as exc:
        raise UsageError(_first_problem(exc, path)) from exc
    except ValueError as exc:
        raise UsageError(f"{path}: {exc}") from exc
    return settings


def _first_problem(error: ValidationError, path: Path) -> str:
    problem: Any = error.errors()[0]
    name = ".".join(str(part) for part in problem["loc"]) or "settings"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name}: {message} (in {path} or CELADON_{name.upper().replace('.', '__')})"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
