"""Settings: one file and the environment, read once; what is wrong is said in one line that names the setting."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from node.errors import UsageError
from node.settings import (
    BlobsSettings,
    BundleChoice,
    ClinicalSettings,
    Hl7Settings,
    Mode,
    OidcSettings,
    Settings,
    WebSettings,
    read_settings,
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory and no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("CELADON_DATA_DIR", "CELADON_DICOM__PORT", "CELADON_MODE"):
        monkeypatch.delenv(name, raising=False)


def config(text: str, path: Path = Path("node.toml")) -> Path:
    """A settings file."""
    path.write_text(text, encoding="utf-8")
    return path


def problem(text: str) -> str:
    """What is said about a settings file that is wrong."""
    with pytest.raises(UsageError) as fault:
        read_settings(config(text))
    said = str(fault.value)
    assert "\n" not in said
    return said


def test_everything_has_a_default(tmp_path: Path) -> None:
    """A node runs without any file: on loopback, with SQLite, delivering nowhere."""
    settings = read_settings()
    assert (settings.dicom.ae_title, settings.dicom.host, settings.dicom.port) == ("CELADON", "127.0.0.1", 11112)
    assert settings.url == f"sqlite:///{tmp_path / 'celadon-data' / 'celadon.db'}"
    assert settings.runtime_file == Path("celadon-data/runtime.json")
    assert (settings.pacs, settings.mode) == ({}, Mode.LIVE)
    assert [rule.predictor for rule in settings.rules] == ["porcelain", "gtrnet"]
    assert set(settings.segmenter) == {"pancreas", "stomach"}


def test_the_file_in_the_working_directory_is_read() -> None:
    """``celadon.toml`` here counts without being named; a named file counts instead of it."""
    config("[dicom]\nport = 104", Path("celadon.toml"))
    assert read_settings().dicom.port == 104
    assert read_settings(config("[dicom]\nport = 105")).dicom.port == 105


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key by key: the rest of a section still comes from the file."""
    path = config('mode = "live"\n[dicom]\nport = 104\nae_title = "FILE"\n[pacs.main]\nae_title="P"\nhost="h"\nport=1')
    monkeypatch.setenv("CELADON_DICOM__PORT", "0")
    monkeypatch.setenv("CELADON_MODE", "silent")
    monkeypatch.setenv("CELADON_PACS__MAIN__PORT", "2")
    settings = read_settings(path)
    assert (settings.dicom.port, settings.dicom.ae_title, settings.mode) == (0, "FILE", Mode.SILENT)
    assert (settings.pacs["main"].host, settings.pacs["main"].port) == ("h", 2)


def test_settings_do_not_change() -> None:
    """They are read once; who holds them can rely on them."""
    settings = read_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.mode = Mode.SILENT  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.dicom.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nonsense = 1", "nonsense"),
        ("[dicom]\nprot = 104", "dicom.prot"),
        ('[pacs.main]\nae_title = "P"\nhost = "h"\nport = 1\nhots = "h"', "pacs.main.hots"),
    ],
)
def test_an_unknown_key_is_an_error(text: str, name: str) -> None:
    """A setting that would silently be ignored is worse than none; the line has both of its names."""
    said = problem(text)
    assert said.startswith(f"{name}: ")
    assert "node.toml" in said
    assert f"CELADON_{name.upper().replace('.', '__')}" in said


def test_an_unknown_key_of_a_section_in_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for ``CELADON_DICOM__PROT``."""
    monkeypatch.setenv("CELADON_DICOM__PROT", "104")
    with pytest.raises(UsageError, match=r"^dicom\.prot: "):
        read_settings()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[dicom]\nport = 70000", "dicom.port"),
        ('[dicom]\nport = "many"', "dicom.port"),
        ('[dicom]\nae_title = "SEVENTEEN LETTERS"', "dicom.ae_title"),
        ("[dicom]\nae_title = 5", "dicom.ae_title"),
        ("[dicom]\nmin_free_gb = -1", "dicom.min_free_gb"),
        ('[pacs.main]\nae_title = "P"\nhost = "h"\nport = 0', "pacs.main.port"),
        ('[pacs.main]\nae_title = "P"\nport = 104', "pacs.main.host"),
        ('[pacs.main]\nae_title = "P"\nhost = "h"\nport = 104\nwithout = ["hologram"]', "pacs.main.without"),
        ('[blobs.s3]\nbucket = "Not A Bucket"', "blobs.s3.bucket"),
        ('[blobs.s3]\nbucket = "images"\nendpoint = "http://store.example"', "blobs.s3.endpoint"),
        ('[blobs.s3]\nbucket = "images"\naccess_key = "A"', "blobs.s3"),
        ('[blobs.s3]\nbucket = "images"\naccess_key = "A"\nsecret_key = "B"\ncredentials = "f"', "blobs.s3"),
        ('[blobs]\nfolder = "f"\ns3 = {bucket = "images"}', "blobs"),
        ("[completion]\nquiet_min_s = 0", "completion.quiet_min_s"),
        ("[workers]\ncpu = 0", "workers.cpu"),
        ('mode = "loud"', "mode"),
        ('[[rules]]\nwhen = {RoiAnatomy = "pancreas"}', "rules.0.predictor"),
    ],
)
def test_a_wrong_value_is_named(text: str, name: str) -> None:
    """The line begins with the setting."""
    assert problem(text).startswith(f"{name}: ")


@pytest.mark.parametrize("host", ["10.0.0.1", "0.0.0.0", "::", "node.hospital.example", ""])  # noqa: S104 — refused
def test_off_loopback_the_senders_must_be_listed(host: str) -> None:
    """A listener that the network can reach takes from known peers only."""
    assert problem(f'[dicom]\nhost = "{host}"').startswith("dicom: peers must be listed")
    listed = config(f'[dicom]\nhost = "{host}"\npeers = [{{ae_title = "PACS", address = "10.0.0.2"}}]')
    assert read_settings(listed).dicom.peers[0].ae_title == "PACS"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_loopback_anybody_may_send(host: str) -> None:
    """This machine alone can reach it."""
    assert read_settings(config(f'[dicom]\nhost = "{host}"')).dicom.peers == ()


def test_the_shortest_silence_is_not_longer_than_the_longest() -> None:
    """Equal is allowed."""
    assert problem("[completion]\nquiet_min_s = 31").startswith("completion: quiet_min_s must not be more")
    assert read_settings(config("[completion]\nquiet_min_s = 30")).completion.quiet_min_s == 30


def test_an_unknown_organ_is_an_error() -> None:
    """The line has those that are known."""
    said = problem('[segmenter]\nliver = ["dicom-seg"]')
    assert "segmenter.liver: no such organ; known: pancreas, stomach" in said


def test_a_named_file_must_be_there() -> None:
    """A missing ``--config`` is not silently the defaults."""
    with pytest.raises(UsageError, match=r"--config nowhere\.toml: there is no such file"):
        read_settings(Path("nowhere.toml"))


def test_a_file_that_is_not_toml_is_named() -> None:
    """With the place of the fault."""
    said = problem("[dicom\nport = 1")
    assert said.startswith("node.toml: ")
    assert "line 1" in said


def test_an_environment_value_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists and tables are JSON in the environment."""
    monkeypatch.setenv("CELADON_RULES", "porcelain")
    with pytest.raises(UsageError, match="rules"):
        read_settings()


def test_the_database_is_chosen_by_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its password is not shown with the settings."""
    monkeypatch.setenv("CELADON_DATABASE_URL", "postgresql+psycopg://celadon:secret@db/celadon")
    settings = read_settings()
    assert settings.url == "postgresql+psycopg://celadon:secret@db/celadon"
    assert "secret" not in repr(settings)


PACS = '[pacs.main]\nae_title = "P"\nhost = "h"\nport = 104\n'


def test_the_archive_to_ask_is_one_of_the_configured() -> None:
    """Nobody is asked unless a configured archive is named; another name is an error that says which there are."""
    assert read_settings().completion.query_peer is None
    assert read_settings(config(PACS + '[completion]\nquery_peer = "main"')).completion.query_peer == "main"
    said = problem(PACS + '[completion]\nquery_peer = "mian"')
    assert "completion.query_peer: there is no pacs.mian; known: pacs.main" in said
    assert "none is configured" in problem('[completion]\nquery_peer = "main"')


def test_blobs_lie_in_data_dir_unless_somebody_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that hosts share, or in a bucket; then ``data_dir`` needs no room for images."""
    beside = Settings(data_dir=Path("here"))
    assert (beside.blobs_dir, beside.least_free_gb) == (Path("here/blobs"), beside.dicom.min_free_gb)
    shared = Settings(data_dir=Path("here"), blobs=BlobsSettings(folder=Path("there")))
    assert (shared.blobs_dir, shared.least_free_gb) == (Path("there"), 0)
    monkeypatch.setenv("CELADON_BLOBS__S3__BUCKET", "images")
    monkeypatch.setenv("CELADON_BLOBS__S3__ACCESS_KEY", "HUSH")
    monkeypatch.setenv("CELADON_BLOBS__S3__SECRET_KEY", "HUSH")
    bucket = read_settings()
    assert bucket.blobs.s3 is not None
    assert (bucket.blobs.s3.bucket, bucket.least_free_gb) == ("images", 0)
    assert "HUSH" not in repr(bucket) + bucket.model_dump_json()


def test_nothing_is_removed_unless_it_is_said_after_how_long() -> None:
    """Without ``retention.days`` everything is kept for ever, and less than a day cannot be asked for."""
    assert read_settings().retention.days is None
    assert read_settings(config("[retention]\ndays = 30")).retention.days == 30
    assert problem("[retention]\ndays = 0").startswith("retention.days: ")


def test_an_hl7_listener_off_loopback_needs_a_list_of_peers() -> None:
    """Whoever reaches the port could write into patients' records."""
    with pytest.raises(ValidationError, match="peers must be listed"):
        Hl7Settings(port=2575, host="0.0.0.0")  # noqa: S104 — refused, which is what is tested
    assert Hl7Settings(port=2575, host="0.0.0.0", peers=("192.0.2.1",)).peers  # noqa: S104 — not listened on


def test_clinical_variables_in_settings_are_those_that_exist() -> None:
    """A misspelt one is named."""
    with pytest.raises(ValidationError, match="required"):
        ClinicalSettings.model_validate({"required": ["ca-nineteen"]})


def test_a_predictor_is_given_another_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, from the file or the environment; the default names none."""
    assert read_settings().models == {}
    path = config('[models]\ngtrnet = "site-a"\nporcelain = "b"')
    monkeypatch.setenv("CELADON_MODELS__PORCELAIN", f"site-b@sha256:{'0a' * 32}")
    assert read_settings(path).models == {"gtrnet": "site-a", "porcelain": f"site-b@sha256:{'0a' * 32}"}


def test_a_bundle_is_chosen_by_name_and_digest() -> None:
    """As a container image is; the digest may be left out."""
    assert BundleChoice.parse("site-a") == BundleChoice("site-a", None)
    assert BundleChoice.parse(f"site-a@sha256:{'0A' * 32}") == BundleChoice("site-a", "0a" * 32)


@pytest.mark.parametrize("text", ["", "../x", "Site", "a b", "a@sha256:12", "a@md5:00", f"a@sha256:{'g' * 64}", "-a"])
def test_what_names_no_bundle_is_wrong_usage(text: str) -> None:
    """One line with the setting."""
    assert problem(f'[models]\ngtrnet = "{text}"').startswith("models.gtrnet: ")


@pytest.mark.parametrize(
    "template",
    ["javascript:alert(1)", "data:text/html,x", "/viewer", "https://v/{password}", "https://v/{0}", "https://v/{"],
)
def test_a_viewer_is_an_address_with_known_fields(template: str) -> None:
    """Nothing that would run in the page, and nothing that is never filled."""
    with pytest.raises(ValidationError, match="viewers"):
        WebSettings(viewers={"Viewer": template})
    known = {"OHIF": "https://v/?s={study_uid}", "Weasis": "weasis://?{accession}"}
    assert WebSettings(viewers=known).viewers == known


def test_who_can_reach_the_page_follows_from_host_and_public_address() -> None:
    """A proxy on the same machine makes a loopback address public."""
    assert WebSettings().is_local
    assert not WebSettings(host="0.0.0.0").is_local  # noqa: S104 — not listened on
    assert not WebSettings(public_url="https://celadon.example").is_local
    assert WebSettings(public_url="https://celadon.example/").is_https
    with pytest.raises(ValidationError, match="public_url"):
        WebSettings(public_url="celadon.example")


def test_an_identity_provider_is_reached_by_https() -> None:
    """A client's secret would be read by everybody on the way."""
    with pytest.raises(ValidationError, match="issuer"):
        OidcSettings(issuer="http://id.example", client_id="celadon")
    assert OidcSettings(issuer="http://127.0.0.1:9000", client_id="celadon").roles == {}


def test_key_and_heads_of_the_audit_lie_beside_the_database_unless_somebody_says_where() -> None:
    """Another disk is better."""
    settings = read_settings(config('[audit]\nheads_file = "/mnt/elsewhere/heads.jsonl"'))
    assert settings.audit_key_file == settings.data_dir / "audit.key"
    assert settings.audit_heads_file == Path("/mnt/elsewhere/heads.jsonl")
