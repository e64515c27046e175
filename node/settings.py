"""Every setting of the node, read once into a frozen object from one TOML file and the environment, which wins.

A key ``section.name`` of the file is ``CELADON_SECTION__NAME`` in the environment. An unknown key is an error: a
setting that is silently ignored is worse than none.
"""

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from node.domain.access import Role
from node.domain.clinical import ClinicalVariable
from node.domain.coding import Anatomy
from node.domain.identifiers import AeTitle
from node.domain.parts import Part
from node.domain.reporting import MESSAGE_KINDS, ObjectKind
from node.errors import UsageError

DEFAULT_CONFIG = Path("celadon.toml")
_TAG_PLACE: Final = 2

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
    """Below this free space in gigabytes every C-STORE is answered 0xA700; of no matter to a bucket (``blobs.s3``)."""

    @model_validator(mode="after")
    def _peers_needed_off_loopback(self) -> Self:
        if not self.peers and not _is_loopback(self.host):
            raise ValueError("peers must be listed when host is not a loopback address")
        return self


class ClientTlsSettings(_Section):
    """TLS towards somebody that results go to (PEM files)."""

    ca: Path
    """The authorities that vouch for it."""
    certificate: Path | None = None
    """This node's certificate, for those that ask for one, followed by those between it and its authority."""
    key: Path | None = None
    """Its private key, without a password."""

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        return self


class IdentityCheck(StrEnum):
    """What happens when the archive's patient or accession is not the one that the images came with."""

    OFF = "off"
    """The archive is not asked."""
    HOLD = "hold"
    """Nothing is delivered until a person has looked at it."""
    CORRECT = "correct"
    """The results are made anew under the archive's patient and accession, and then delivered."""


CHARACTER_SETS: Final = ("ISO_IR 192", "GB18030", "GBK", *(f"ISO_IR {number}" for number in (
    6, 13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 203
)))  # fmt: skip
"""Defined terms of PS3.3 section C.12.1.1.2 without code extensions."""


class _DestinationSettings(_Section):
    """What every destination may say."""

    without: tuple[str, ...] = ()
    """Kinds of object that it is not sent, for an archive that does not store them: for example ``parametric-map``."""
    character_set: Literal[CHARACTER_SETS] | None = None  # type: ignore[valid-type]  # the tuple above is the one list
    """Defined term that its objects are written in. None: as they are, in the images' own or in ISO_IR 192."""
    identity: IdentityCheck = IdentityCheck.OFF
    """Whether the archive is asked, just before delivery, whom it has the study filed under."""
    identity_peer: str | None = None
    """Which ``pacs.<name>`` is asked (C-FIND). None: the destination itself, if it is one."""

    @field_validator("without")
    @classmethod
    def _kinds(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = [kind.key for kind in ObjectKind if kind not in MESSAGE_KINDS]
        if unknown := [name for name in value if name not in known]:
            raise ValueError(f"there is no kind of object {unknown[0]!r}; known: {', '.join(known)}")
        return value

    @property
    def kinds_without(self) -> frozenset[ObjectKind]:
        """``without`` as kinds."""
        return frozenset(kind for kind in ObjectKind if kind.key in self.without)


class PacsSettings(_DestinationSettings):
    """An archive that results are delivered to by C-STORE."""

    ae_title: Ae
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: ClientTlsSettings | None = None
    """None: plain TCP."""
    timeout_s: Seconds = 30.0
    """For a connection, and for each answer."""
    commitment: bool = False
    """Whether it is asked to commit to what it stored (PS3.4 annex J); a job is done when it has."""
    commitment_within_minutes: Annotated[float, Field(gt=0)] = 60.0
    """Without a report for this long, it is asked anew, under a new Transaction UID."""
    commitment_wait_s: Annotated[float, Field(ge=0)] = 1.0
    """How long its report is waited for on the association of the request; later ones come to the listener."""
    commitment_addresses: tuple[str, ...] = ()
    """IP addresses that its reports may come from, besides those of ``host``."""


class StowSettings(_DestinationSettings):
    """An archive that results are delivered to by STOW-RS (PS3.18 section 10.5)."""

    stow_url: str
    """Of the studies resource, for example ``https://archive.example/dicom-web/studies``; http on loopback only."""
    token: SecretStr = SecretStr("")
    """Bearer token (RFC 6750); best given as ``CELADON_PACS__<NAME>__TOKEN``. Empty: none is sent."""
    user: str = ""
    """User of HTTP Basic authentication; empty: none."""
    password: SecretStr = SecretStr("")
    tls: ClientTlsSettings | None = None
    """None: the system's authorities, and no certificate of ours."""
    timeout_s: Seconds = 60.0
    """For a connection, and for each step of the answer."""

    @model_validator(mode="after")
    def _secret_on_the_wire(self) -> Self:
        _require_https("stow_url", self.stow_url)
        if self.user and self.token.get_secret_value():
            raise ValueError("user and token exclude each other")
        return self


class FolderSettings(_DestinationSettings):
    """A folder that results are put into as files, for whoever picks them up."""

    folder: Path
    """It must exist: a share that is not mounted is waited for."""


class FeedSettings(_Section):
    """A receiver of results as HL7 v2 messages (ORU^R01 over MLLP)."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: ClientTlsSettings | None = None
    """None: plain TCP, on a network that is trusted."""
    application: str = ""
    """Receiving application (MSH-5)."""
    facility: str = ""
    """Receiving facility (MSH-6)."""
    sending_facility: str = ""
    """This site (MSH-4)."""
    timeout_s: Seconds = 30.0
    """For a connection, and for the acknowledgement."""
    identity: IdentityCheck = IdentityCheck.OFF
    """As for a ``pacs``."""
    identity_peer: str | None = None
    """Which ``pacs.<name>`` is asked."""


def _kind_of_destination(value: object) -> str:
    """Which settings a table of ``pacs`` is read as: by the key that only one of them has."""
    has = value.__contains__ if isinstance(value, dict) else lambda name: hasattr(value, name)
    return next((kind for kind, key in _DESTINATION_KEYS.items() if has(key)), "pacs")


_DESTINATION_KEYS: Final = {"stow": "stow_url", "folder": "folder"}
DestinationSettings = Annotated[
    Annotated[PacsSettings, Tag("pacs")]
    | Annotated[StowSettings, Tag("stow")]
    | Annotated[FolderSettings, Tag("folder")],
    Discriminator(_kind_of_destination),
]


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


class S3Settings(_Section):
    """A bucket of an S3-compatible store, for hosts that share no file system."""

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    """It must exist; encryption at rest and versions are its own business."""
    prefix: str = "celadon"
    """What all keys begin with; two nodes must not share it."""
    endpoint: str | None = None
    """``https://…`` of a store that is not Amazon's; plain http on loopback only."""
    region: str | None = None
    access_key: SecretStr = SecretStr("")
    """Best given as ``CELADON_BLOBS__S3__ACCESS_KEY``."""
    secret_key: SecretStr = SecretStr("")
    """Best given as ``CELADON_BLOBS__S3__SECRET_KEY``."""
    credentials: Path | None = None
    """A file with both in Amazon's form instead, read when a process starts. With neither they are looked for as
    Amazon's own programs do: in ``AWS_*``, in ``~/.aws``, and with the machine's role."""
    profile: str = "default"
    """Which section of ``credentials``."""
    ca: Path | None = None
    """Authorities (PEM) that vouch for the store, where the system's do not."""
    timeout_s: Seconds = 10.0
    """For an answer; what is not answered is asked once more."""
    copies_gb: Annotated[float, Field(gt=0)] = 20.0
    """Of this machine's disk for copies of what is read, in gigabytes; those read longest ago make room."""

    @field_validator("endpoint")
    @classmethod
    def _patients_data_on_the_wire(cls, value: str | None) -> str | None:
        if value is not None:
            _require_https("endpoint", value)
        return value

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if bool(self.access_key.get_secret_value()) != bool(self.secret_key.get_secret_value()):
            raise ValueError("access_key and secret_key belong together")
        if self.access_key.get_secret_value() and self.credentials is not None:
            raise ValueError("access_key and credentials exclude each other")
        return self


class BlobsSettings(_Section):
    """Where the bytes of images and results are kept."""

    folder: Path | None = None
    """A folder, for several hosts on storage that they share. None: ``blobs`` in ``data_dir``."""
    s3: S3Settings | None = None
    """None: in the folder."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.folder is not None and self.s3 is not None:
            raise ValueError("folder and s3 exclude each other")
        return self


class ReportsSettings(_Section):
    """What is written beside the objects that are always written."""

    pdf: bool = False
    """The pages as an encapsulated PDF too."""
    enhanced_sr: bool = True
    """The structured report as an Enhanced SR too, for archives that do not take a Comprehensive 3D SR."""


class NoticesSettings(_Section):
    """Whether a series without a result gets a notice that says why."""

    requested: bool = True
    """Where somebody waits for a result: a contour marks the series, a rule has ``requested``, or there was one."""
    unrequested: bool = False
    """Where nobody does: every scout and every other modality that comes by."""


class Mode(StrEnum):
    """What happens with results."""

    LIVE = "live"
    SILENT = "silent"
    """Analyse and record; deliver nothing, and show nobody what was found before somebody has unblinded it."""


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
    mode: Mode | None = None
    """Of this rule's results. None: ``mode``."""
    urgent: bool = False
    """Whether series that the conditions on the header hold for go before others (STAT)."""
    requested: bool = False
    """Whether an analysis was asked for where the conditions on the header hold: without a result there is a notice."""


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


class SegmenterKind(StrEnum):
    """What a configured segmenter is."""

    MONAI_BUNDLE = "monai-bundle"
    """A bundle in the layout of MONAI's model zoo, run in a process of its own."""
    COARSE_TO_FINE = "coarse-to-fine"
    """A bundle of Celadon's own network."""
    TOTALSEGMENTATOR = "totalsegmentator"
    NNUNET = "nnunet"
    """These two: a command that is installed beside Celadon."""


Label = Annotated[int, Field(ge=1, le=255)]


class SegmenterSettings(_Section):
    """One source of contours beside the archive; ``segmenter.<organ>`` lists its name."""

    kind: SegmenterKind
    path: Path | None = None
    """The bundle's folder (monai-bundle, coarse-to-fine)."""
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")] | None = None
    """The digest that the bundle must have: what its files ask for is run, so nothing else is."""
    command: str = ""
    """The program where it is not on the PATH under its usual name."""
    task: str = ""
    """TotalSegmentator's task, or nnU-Net's data set."""
    configuration: str = "3d_fullres"
    """Of nnU-Net."""
    folds: tuple[str, ...] = ("all",)
    """Of nnU-Net: which are averaged."""
    models: Path | None = None
    """Where the program finds its weights: nnUNet_results, or TOTALSEG_HOME_DIR."""
    fast: bool = False
    """TotalSegmentator at 3 mm."""
    labels: dict[Label, Part] = Field(default_factory=dict)
    """What the numbers of the label map mean; others are ignored."""
    within_s: Seconds = 600.0
    """After which the process is ended."""
    memory_gb: Annotated[float, Field(ge=0.5)] = 8.0
    """Of address space in gigabytes for the process."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        is_bundle = self.kind in (SegmenterKind.MONAI_BUNDLE, SegmenterKind.COARSE_TO_FINE)
        if is_bundle and (self.path is None or self.sha256 is None):
            raise ValueError(f"a {self.kind} needs path and sha256")
        if self.kind is SegmenterKind.NNUNET and not self.task:
            raise ValueError("nnunet needs task, the data set that its model was trained on")
        if self.kind is not SegmenterKind.COARSE_TO_FINE and not any(part.lesion_of for part in self.labels.values()):
            known = ", ".join(Part)
            raise ValueError(f"labels names no lesion; a number can mean {known}")
        return self


class WorkersSettings(_Section):
    """Worker processes."""

    cpu: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of analysing processes without a GPU; they share the cores."""
    gpu: Annotated[int, Field(ge=0, le=64)] | None = None
    """Number of analysing processes with a GPU of their own each. None: as many as there are GPUs."""
    gpu_memory_gb: Annotated[float, Field(ge=0)] = 2.0
    """Below this free memory on its GPU, in gigabytes, a process claims nothing: somebody else is using it."""
    together: Annotated[int, Field(ge=1, le=32)] | None = None
    """How many cases that wait a process predicts at once. None: 4 with a GPU, 1 without: a CPU gains nothing."""
    step_s: Seconds = 900.0
    """For one step of one case; a process that takes longer is ended, and the case is tried again."""
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    """Of resident memory for an analysing process, in gigabytes; one that takes more is ended. None: nine tenths of
    what there is."""


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
        _require_https("base_url", self.base_url)
        if self.token_url:
            _require_https("token_url", self.token_url)
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


class WebTlsSettings(_Section):
    """HTTPS (PEM files)."""

    certificate: Path
    key: Path


class OidcSettings(_Section):
    """An OpenID Connect provider that people sign in with."""

    issuer: str
    """``https://…``: where ``/.well-known/openid-configuration`` is; plain http on loopback only."""
    client_id: str
    client_secret: SecretStr = SecretStr("")
    scope: str = "openid profile email"
    name_claim: str = "preferred_username"
    """Which claim names the person, in verdicts and in the audit trail: ``oidc:`` and up to 59 characters.

    Choose one that the provider gives to nobody else, also later.
    """
    role_claim: str = "groups"
    """Which claim, one text or a list, says what somebody may do."""
    roles: dict[str, Role] = Field(default_factory=dict)
    """A value of that claim to a role; of several the one that may do most. Whoever has none is not let in."""

    @model_validator(mode="after")
    def _secret_on_the_wire(self) -> Self:
        _require_https("issuer", self.issuer)
        return self


class WebSettings(_Section):
    """The page, the API, health and metrics."""

    host: str = "127.0.0.1"
    """Another than loopback needs users (``celadon users add``) or ``web.oidc``."""
    port: Port = 8080
    """0 takes a free port; ``runtime.json`` in ``data_dir`` says which."""
    tls: WebTlsSettings | None = None
    """None: plain HTTP, for loopback or behind a proxy that speaks HTTPS."""
    public_url: str | None = None
    """How people reach it through a proxy, e.g. ``https://celadon.hospital.example``."""
    idle_minutes: Annotated[float, Field(gt=0)] = 30.0
    """After which somebody who does nothing is signed out."""
    session_hours: Annotated[float, Field(gt=0)] = 12.0
    """After which everybody signs in again."""
    sign_ins_per_minute: Annotated[int, Field(ge=1)] = 10
    """Failed attempts from one address, and for one name."""
    requests_per_minute: Annotated[int, Field(ge=60)] = 3000
    """From one address; scrolling through a series asks for many pictures."""
    viewers: dict[str, str] = Field(default_factory=dict)
    """Name to a URL with ``{study_uid}``, ``{series_uid}``, ``{patient_id}`` or ``{accession}``: opens a case."""
    oidc: OidcSettings | None = None

    @field_validator("viewers")
    @classmethod
    def _templates(cls, value: dict[str, str]) -> dict[str, str]:
        for name, template in value.items():
            scheme = urlsplit(template).scheme
            # javascript: and data: would run in the page; viewers have schemes of their own, as weasis:.
            if not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) or scheme in ("javascript", "data", "vbscript"):
                raise ValueError(f"{name}: {template!r} is not the URL of a viewer")
            try:
                template.format(study_uid="", series_uid="", patient_id="", accession="")
            except (KeyError, IndexError, ValueError, AttributeError) as exc:
                raise ValueError(f"{name}: only study_uid, series_uid, patient_id and accession are known") from exc
        return value

    @field_validator("public_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise ValueError("public_url must begin with https:// or http://")
        return value.rstrip("/") if value else value

    @property
    def is_local(self) -> bool:
        """Whether nobody but people on this machine can reach it."""
        return _is_loopback(self.host) and self.public_url is None

    @property
    def is_https(self) -> bool:
        """Whether browsers reach it by HTTPS."""
        return self.tls is not None or bool(self.public_url and self.public_url.startswith("https:"))


class MonitoringSettings(_Section):
    """What the page of monitoring looks at, and from when on it raises an alarm."""

    days: Annotated[int, Field(ge=1, le=366)] = 30
    """The period that is looked at; drift is also measured against the period of the same length before it."""
    least: Annotated[int, Field(ge=5)] = 30
    """Of results, verdicts or outcomes: with fewer no alarm is raised and no drift measured."""
    max_psi: Annotated[float, Field(gt=0)] = 0.25
    """Population stability index of a score or an input."""
    min_ks_p: Annotated[float, Field(ge=0, lt=1)] = 0.001
    """P-value of the Kolmogorov-Smirnov test of a score or an input; 0: it raises no alarm."""
    max_refused_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Of the analyses that ended without a result; the whole interval must lie above it."""
    max_turnaround_s: Seconds = 900.0
    """From the complete series to the result: 95 of 100 take no longer."""
    max_waiting_minutes: Annotated[float, Field(gt=0)] = 30.0
    """Of the oldest analysis that waits."""
    max_imputed_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Of the clinical values that models have asked for."""
    min_agreement: Annotated[float, Field(ge=0, le=1)] = 0.7
    """Of readers with results; the whole interval must lie below it."""
    max_calibration_gap: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Between what came true and what was said; the interval must also leave out what was said."""


class SyslogSettings(_Section):
    """An audit repository that gets messages of PS3.15 section A.5 by syslog over TLS (RFC 5424, RFC 5425)."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 6514
    tls: ClientTlsSettings
    site: str = ""
    """AuditEnterpriseSiteID; empty: none."""
    source: str = "celadon"
    """AuditSourceID: what this node is called there."""
    timeout_s: Seconds = 10.0
    """For a connection, and for each step on it."""


class AuditSettings(_Section):
    """The audit trail."""

    key_file: Path | None = None
    """The key of its chain, 64 hexadecimal digits, the same on every machine of a node. None: ``audit.key`` in
    ``data_dir``, made at the first start. Keep a copy elsewhere: without it nobody can verify the trail."""
    heads_file: Path | None = None
    """Where the head of the chain is written every hour. None: ``audit-heads.jsonl`` in ``data_dir``; better a disk
    that whoever administers the database cannot write."""
    syslog: SyslogSettings | None = None
    """None: no messages are sent anywhere."""


class MailSettings(_Section):
    """A mail server that alarms are sent by."""

    host: str
    port: Port = 587
    sender: str
    to: Annotated[tuple[str, ...], Field(min_length=1)]
    starttls: bool = True
    """Whether the connection is encrypted before anything is said."""
    ca: Path | None = None
    """Authorities (PEM) that vouch for the server, where the system's do not."""
    user: str = ""
    """Empty: it wants nobody to sign in."""
    password: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _secret_on_the_wire(self) -> Self:
        if self.user and not self.starttls and not _is_loopback(self.host):
            raise ValueError("a password is only sent with starttls, or on loopback")
        return self


class WebhookSettings(_Section):
    """An address that alarms are posted to as JSON."""

    url: str
    """``https://…``; plain http on loopback only."""
    token: SecretStr = SecretStr("")
    """Bearer token (RFC 6750); empty: none is sent."""

    @model_validator(mode="after")
    def _secret_on_the_wire(self) -> Self:
        _require_https("url", self.url)
        return self


class AlarmSettings(_Section):
    """What people hear of by themselves: always in the log and the metrics, and by mail and webhook where they are."""

    no_traffic_hours: Annotated[float, Field(gt=0)] | None = 24.0
    """Without an image for so long. None: never."""
    oldest_waiting_minutes: Annotated[float, Field(gt=0)] = 30.0
    """A case that nobody has begun for so long."""
    mail: MailSettings | None = None
    webhook: WebhookSettings | None = None


class SandboxSettings(_Section):
    """The processes that decode what was received."""

    memory_gb: Annotated[float, Field(ge=0.5)] = 2.0
    """Of address space in gigabytes for each; an object that needs more counts as undecodable."""
    call_s: Seconds = 60.0
    """For one object."""


def _default_rules() -> tuple[RuleSettings, ...]:
    return (
        RuleSettings(predictor="porcelain", when={"RoiAnatomy": "pancreas"}),
        RuleSettings(predictor="gtrnet", when={"RoiAnatomy": "stomach"}),
    )


def _default_segmenters() -> dict[str, tuple[str, ...]]:
    return {anatomy.key: ("dicom-seg", "shipped") for anatomy in Anatomy}


class Settings(BaseSettings):
    """All settings of one node."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="CELADON_", env_nested_delimiter="__", validate_default=True
    )

    data_dir: Path = Path("celadon-data")
    """Everything that the embedded node writes."""
    database_url: str = Field(default="", repr=False)
    """Any SQLAlchemy URL; empty is a SQLite file in ``data_dir``."""
    broker_url: SecretStr = SecretStr("")
    """``redis://…`` or ``rediss://…``: workers are woken over it at once. Empty: they look every half second."""
    blobs: BlobsSettings = Field(default_factory=BlobsSettings)
    dicom: DicomSettings = Field(default_factory=DicomSettings)
    pacs: dict[str, DestinationSettings] = Field(default_factory=dict)
    """Destinations by name; every result goes to each."""
    feed: dict[str, FeedSettings] = Field(default_factory=dict)
    """Receivers of HL7 messages by name; no name is both here and in ``pacs``."""
    completion: CompletionSettings = Field(default_factory=CompletionSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    rules: tuple[RuleSettings, ...] = Field(default_factory=_default_rules)
    segmenter: dict[str, tuple[str, ...]] = Field(default_factory=_default_segmenters)
    """For each organ, where contours are looked for, in order."""
    segmenters: dict[str, SegmenterSettings] = Field(default_factory=dict)
    """Further sources of contours by name, for ``segmenter``."""
    models: dict[str, Annotated[str, AfterValidator(_bundle_choice)]] = Field(default_factory=dict)
    """Predictor to the bundle that it is made from, ``NAME`` or ``NAME@sha256:DIGEST``; default: the shipped one."""
    reports: ReportsSettings = Field(default_factory=ReportsSettings)
    notices: NoticesSettings = Field(default_factory=NoticesSettings)
    workers: WorkersSettings = Field(default_factory=WorkersSettings)
    sandbox: SandboxSettings = Field(default_factory=SandboxSettings)
    clinical: ClinicalSettings = Field(default_factory=ClinicalSettings)
    web: WebSettings = Field(default_factory=WebSettings)
    audit: AuditSettings = Field(default_factory=AuditSettings)
    monitoring: MonitoringSettings = Field(default_factory=MonitoringSettings)
    alarms: AlarmSettings = Field(default_factory=AlarmSettings)
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
        self._require_archive("completion.query_peer", self.completion.query_peer)
        return self

    @model_validator(mode="after")
    def _identity_can_be_asked(self) -> Self:
        for section, destinations in (("pacs", self.pacs), ("feed", self.feed)):
            for name, one in destinations.items():
                self._require_archive(f"{section}.{name}.identity_peer", one.identity_peer)
                nobody = one.identity_peer is None and not isinstance(one, PacsSettings)
                if one.identity is not IdentityCheck.OFF and nobody:
                    raise ValueError(f"{section}.{name}.identity: say with identity_peer which archive is asked")
        return self

    @model_validator(mode="after")
    def _destinations_have_one_name(self) -> Self:
        if both := sorted(self.pacs.keys() & self.feed.keys()):
            raise ValueError(f"feed.{both[0]}: there is a pacs.{both[0]} already")
        return self

    def _require_archive(self, setting: str, name: str | None) -> None:
        if name is not None and name not in self.archives:
            known = ", ".join(f"pacs.{one}" for one in sorted(self.archives)) or "none is configured"
            raise ValueError(f"{setting}: there is no pacs.{name}; known: {known}")

    @property
    def kinds_without(self) -> dict[str, frozenset[ObjectKind]]:
        """The kinds of object that each destination is not sent: messages go to feeds, and nothing else does."""
        without = {name: one.kinds_without | MESSAGE_KINDS for name, one in self.pacs.items()}
        return without | dict.fromkeys(self.feed, frozenset(ObjectKind) - MESSAGE_KINDS)

    @property
    def archives(self) -> dict[str, PacsSettings]:
        """The destinations that speak DIMSE."""
        return {name: one for name, one in self.pacs.items() if isinstance(one, PacsSettings)}

    def mode_of(self, rule: RuleSettings) -> Mode:
        """What happens with the results of ``rule``: a node that is silent has no rule that is not."""
        return Mode.SILENT if self.mode is Mode.SILENT else rule.mode or self.mode

    @property
    def url(self) -> str:
        """The database to use."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'celadon.db').absolute()}"

    @property
    def blobs_dir(self) -> Path:
        """Where blobs lie that are kept in a folder."""
        return self.blobs.folder or self.data_dir / "blobs"

    @property
    def least_free_gb(self) -> float:
        """What ``data_dir`` must have free for images to be taken; 0 where they are kept elsewhere."""
        is_here = self.blobs.folder is None and self.blobs.s3 is None
        return self.dicom.min_free_gb if is_here else 0.0

    @property
    def copies_dir(self) -> Path:
        """Where copies lie of blobs that are kept in a bucket."""
        return self.data_dir / "copies"

    @property
    def models_dir(self) -> Path:
        """Where added model bundles lie."""
        return self.data_dir / "models"

    @property
    def audit_key_file(self) -> Path:
        """Where the key of the audit's chain lies."""
        return self.audit.key_file or self.data_dir / "audit.key"

    @property
    def audit_heads_file(self) -> Path:
        """Where heads of the audit's chain are exported to."""
        return self.audit.heads_file or self.data_dir / "audit-heads.jsonl"

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


def fingerprint(settings: Settings) -> str:
    """What two runs with the same settings have in common: SHA-256, secrets left out."""
    return hashlib.sha256(settings.model_dump_json(exclude={"database_url"}).encode()).hexdigest()


def _first_problem(error: ValidationError, path: Path) -> str:
    problem: Any = error.errors()[0]
    # Of a destination, the third part is only how its table was read.
    parts = [
        str(part) for number, part in enumerate(problem["loc"]) if number != _TAG_PLACE or problem["loc"][0] != "pacs"
    ]
    name = ".".join(parts) or "settings"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name}: {message} (in {path} or CELADON_{name.upper().replace('.', '__')})"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _require_https(name: str, url: str) -> None:
    """Raise ValueError where a secret or a patient's data would cross a network in the clear."""
    found = urlsplit(url)
    if found.scheme != "https" and not (found.scheme == "http" and _is_loopback(found.hostname or "")):
        raise ValueError(f"{name} must be https, or http on loopback")
