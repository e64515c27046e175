"""Whether a node is well: everything that has to work for results to come, each line with what helps.

What is checked changes nothing, and what cannot be checked says why. A failure keeps results from coming; a warning
will, or makes them later than they could be.
"""

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from models.bundle_store import Library
from models.selection import chosen
from node import gpus
from node.clinical_checks import Check, Verdict, check_clinical
from node.dicom.commitment import require_commitment
from node.dicom.peer import Peer
from node.dicom.sending import echo
from node.doorbell import TRANSPORT
from node.errors import BundleError, CeladonError, Retryable, UsageError
from node.settings import ClientTlsSettings, FolderSettings, PacsSettings, Settings, StowSettings
from node.stores import BYTES_PER_GB, Stores, open_bucket, open_database

SOON: Final = timedelta(days=30)
"""A certificate that ends within this is worth a word."""
SKEW: Final = timedelta(seconds=5)
"""Between this machine and the database's."""
WAITS_LONG: Final = timedelta(minutes=30)
ANSWERS_WITHIN_S: Final = 5.0
_PLENTY: Final = 2


def examine(settings: Settings) -> tuple[Check, ...]:
    """Every check, in the order in which they are worth mending; without a database the rest of it is not asked."""
    checks = [_database(settings), *_blobs(settings)]
    if checks[0].verdict is not Verdict.FAIL and (stores := _stores(settings)) is not None:
        checks += [_clock(stores), *_queue(stores), *check_clinical(settings, stores)]
    checks += [_disk(settings), *_bundles(settings), *_destinations(settings), *_certificates(settings)]
    return (*checks, _broker(settings), _gpus(settings))


def _database(settings: Settings) -> Check:
    try:
        database = open_database(settings)
        database.require_current()
    except Retryable as exc:
        return Check("database", Verdict.FAIL, str(exc), "start the database, or correct database_url")
    except CeladonError as exc:
        return Check("database", Verdict.FAIL, str(exc), "celadon db upgrade")
    return Check("database", Verdict.OK, f"{settings.url.partition(':')[0]}, its schema is current")


def _stores(settings: Settings) -> Stores | None:
    """None when the blobs cannot even be asked for, which their own line tells."""
    try:
        return Stores.open(settings)
    except CeladonError:
        return None


def _blobs(settings: Settings) -> Iterator[Check]:
    """Where images and results are kept, unless that is ``data_dir``, which is looked at anyway."""
    if (folder := settings.blobs.folder) is not None:
        yield _room("blobs", folder, "blobs.folder", settings.dicom.min_free_gb)
    if (s3 := settings.blobs.s3) is not None:
        where = f"bucket {s3.bucket}" + (f" at {s3.endpoint}" if s3.endpoint else "")
        mend = "blobs.s3.*: start the store, make the bucket, let us list, read, write and delete"
        yield _tried(
            "blobs",
            f"{where} is written, read and emptied",
            f"{mend}; until then images are refused (0xA700) and cases wait",
            lambda: open_bucket(settings, s3).try_out(),
        )


def _clock(stores: Stores) -> Check:
    """This machine's against the database's: leases do not mind, but what people read would be wrong."""
    begun = datetime.now(UTC)
    theirs = stores.database.now()
    ours = begun + (datetime.now(UTC) - begun) / 2
    wrong = abs(ours - theirs)
    detail = f"{wrong.total_seconds():.1f} s from the database's"
    if wrong > SKEW:
        return Check("clock", Verdict.WARN, detail, "let both machines take their time from the same server (NTP)")
    return Check("clock", Verdict.OK, detail)


def _queue(stores: Stores) -> Iterator[Check]:
    oldest = stores.jobs.oldest_waiting()
    for queue, count in stores.jobs.depth().items():
        yield Check(f"queue {queue.value}", Verdict.OK, f"{count} wait")
    age = datetime.now(UTC) - oldest if oldest else timedelta(0)
    if age > WAITS_LONG:
        detail = f"the oldest has waited since {oldest:%Y-%m-%d %H:%M} UTC"
        yield Check("waiting", Verdict.WARN, detail, "start workers for its queue: celadon work --queue cpu|gpu|all")


def _disk(settings: Settings) -> Check:
    folder = settings.data_dir if settings.data_dir.exists() else settings.data_dir.absolute().parent
    return _room("disk", folder, "data_dir", settings.least_free_gb)


def _room(name: str, folder: Path, setting: str, least: float) -> Check:
    """Whether a folder can be written to, and has ``least`` gigabytes free; 0: nothing is refused for want of them."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            status = os.statvfs(folder)
    except OSError as exc:
        return Check(
            name, Verdict.FAIL, f"{folder}: {exc.strerror}", f"{setting} must be a folder that this user writes"
        )
    free = status.f_bavail * status.f_frsize / BYTES_PER_GB
    detail = f"{free:.1f} GB free" + (f", the listener needs {least:g} GB" if least else "")
    if free < least:
        return Check(name, Verdict.FAIL, detail, "make room, or set retention.days: images are refused until then")
    if free < _PLENTY * least:
        return Check(name, Verdict.WARN, detail, "make room, or set retention.days")
    return Check(name, Verdict.OK, detail)


def _bundles(settings: Settings) -> Iterator[Check]:
    """Every byte of every bundle that is in use, against its record."""
    library = Library(settings.models_dir)
    for predictor in dict.fromkeys(rule.predictor for rule in settings.rules):
        name = f"model {predictor}"
        try:
            bundle = chosen(settings, library, predictor)
        except UsageError as exc:
            yield Check(name, Verdict.FAIL, str(exc), "celadon models list, celadon models add")
        except BundleError as exc:
            yield Check(name, Verdict.FAIL, str(exc), "celadon models restore, or add it again")
        else:
            yield Check(name, Verdict.OK, f"sha256:{bundle.digest[:12]}, as recorded; {bundle.identity().status.value}")


def _destinations(settings: Settings) -> Iterator[Check]:
    for name, one in settings.pacs.items():
        match one:
            case PacsSettings():
                yield from _archive(name, one, settings.dicom.ae_title)
            case StowSettings():
                url = urlsplit(one.stow_url)
                port = url.port or (443 if url.scheme == "https" else 80)
                yield _reachable(f"pacs.{name}", url.hostname or "", port)
            case FolderSettings():
                is_there = one.folder.is_dir() and os.access(one.folder, os.W_OK)
                verdict = Verdict.OK if is_there else Verdict.FAIL
                yield Check(
                    f"pacs.{name}", verdict, str(one.folder), "" if is_there else "mount it, or let us write there"
                )
    for name, feed in settings.feed.items():
        yield _reachable(f"feed.{name}", feed.host, feed.port)
    if not settings.pacs and not settings.feed:
        yield Check("destinations", Verdict.WARN, "none is configured", "pacs.<name>: results are kept, and go nowhere")


def _archive(name: str, archive: PacsSettings, calling_ae: str) -> Iterator[Check]:
    mend = f"host, port, ae_title of pacs.{name}, and whether it knows {calling_ae}"
    yield _tried(f"pacs.{name}", "answers C-ECHO", mend, lambda: echo(Peer.of(archive), calling_ae, ANSWERS_WITHIN_S))
    if archive.commitment:
        mend = f"pacs.{name}.commitment = false, or have it offer storage commitment to {calling_ae}"
        yield _tried(
            f"pacs.{name} commitment",
            "is offered",
            mend,
            lambda: require_commitment(Peer.of(archive), calling_ae, ANSWERS_WITHIN_S),
        )


def _tried(name: str, well: str, mend: str, what: Callable[[], None]) -> Check:
    begun = time.monotonic()
    try:
        what()
    except CeladonError as exc:
        return Check(name, Verdict.FAIL, str(exc), mend)
    return Check(name, Verdict.OK, f"{well} in {time.monotonic() - begun:.2f} s")


def _reachable(name: str, host: str, port: int) -> Check:
    try:
        socket.create_connection((host, port), ANSWERS_WITHIN_S).close()
    except OSError as exc:
        return Check(
            name, Verdict.FAIL, f"{host}:{port}: {exc.strerror or 'no answer'}", "start it, or correct its address"
        )
    return Check(name, Verdict.OK, f"{host}:{port} takes connections")


def _certificates(settings: Settings) -> Iterator[Check]:
    wanted: dict[str, Path] = {}
    if settings.dicom.tls:
        wanted["dicom.tls.certificate"] = settings.dicom.tls.certificate
        wanted["dicom.tls.client_ca"] = settings.dicom.tls.client_ca
    if settings.blobs.s3 and settings.blobs.s3.ca:
        wanted["blobs.s3.ca"] = settings.blobs.s3.ca
    if settings.web.tls:
        wanted["web.tls.certificate"] = settings.web.tls.certificate
    if settings.clinical.hl7 and settings.clinical.hl7.tls:
        wanted["clinical.hl7.tls.certificate"] = settings.clinical.hl7.tls.certificate
        wanted["clinical.hl7.tls.client_ca"] = settings.clinical.hl7.tls.client_ca
    if settings.audit.syslog:
        wanted |= _of_client("audit.syslog", settings.audit.syslog.tls)
    for section, destinations in (("pacs", settings.pacs), ("feed", settings.feed)):
        for name, one in destinations.items():
            wanted |= _of_client(f"{section}.{name}", getattr(one, "tls", None))
    for setting, path in wanted.items():
        yield _certificate(setting, path)


def _of_client(name: str, tls: ClientTlsSettings | None) -> dict[str, Path]:
    if tls is None:
        return {}
    own = {f"{name}.tls.certificate": tls.certificate} if tls.certificate is not None else {}
    return {f"{name}.tls.ca": tls.ca} | own


def _certificate(setting: str, path: Path) -> Check:
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as exc:
        words = exc.strerror if isinstance(exc, OSError) else "holds no certificate"
        return Check(setting, Verdict.FAIL, f"{path}: {words}", "name a PEM file that this user may read")
    now, last = datetime.now(UTC), min(one.not_valid_after_utc for one in found)
    begins = max(one.not_valid_before_utc for one in found)
    detail = f"valid until {last:%Y-%m-%d}"
    if now > last or now < begins:
        words = detail if now > last else f"valid from {begins:%Y-%m-%d %H:%M} UTC"
        return Check(setting, Verdict.FAIL, words, "have a new one issued, then start the node again")
    if now > last - SOON:
        return Check(setting, Verdict.WARN, detail, "have a new one issued before that day")
    return Check(setting, Verdict.OK, detail)


def _broker(settings: Settings) -> Check:
    url = settings.broker_url.get_secret_value()
    if not url:
        return Check("broker", Verdict.OK, "none: workers look for themselves")
    import kombu  # noqa: PLC0415  only a node with a broker needs it

    try:
        with kombu.Connection(url, transport_options=dict(TRANSPORT)) as connection:
            connection.ensure_connection(max_retries=1, timeout=ANSWERS_WITHIN_S)
    except Exception as exc:  # noqa: BLE001 — kombu lets through whatever its transports raise, with the password in it
        mend = "start it, or correct broker_url; until then each case begins up to a second later"
        return Check("broker", Verdict.WARN, f"does not answer ({type(exc).__name__})", mend)
    return Check("broker", Verdict.OK, "answers")


def _gpus(settings: Settings) -> Check:
    found, wanted = gpus.visible(), settings.workers.gpu
    if wanted is not None and wanted > len(found):
        detail = f"workers.gpu is {wanted}, and {len(found)} can be seen: the CPU does the work of the others"
        return Check("gpus", Verdict.WARN, detail, "the driver (nvidia-smi -L), CUDA_VISIBLE_DEVICES, or workers.gpu")
    if not found:
        return Check("gpus", Verdict.OK, "none: models run on the CPU")
    return Check("gpus", Verdict.OK, f"{len(found)}: {', '.join(found)}")
