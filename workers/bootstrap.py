"""The one place that chooses concrete classes for workers: stores, segmenters, predictors, sources, writers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from models import device, registry
from models.bundle import Bundle
from models.bundle_store import Library
from models.predictors.fallback import OnCpuInstead
from models.selection import chosen
from node import log
from node.clinical.registry import open_sources
from node.destinations.oru import MessageWriter
from node.destinations.registry import destinations
from node.dicom.reading import ATTRIBUTES
from node.dicom.sandbox import Decoder, Sandbox
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.coding import Anatomy
from node.domain.ports import ClinicalSource, Destination, NoticeObjectWriter, Predictor, ReportWriter, Segmenter
from node.errors import BundleError, UsageError
from node.reports.registry import NOTICE_WRITERS, resolve_notice, wanted_writers
from node.settings import Settings
from node.stores import BYTES_PER_GB, Stores, open_sandbox
from node.triage.rules import ROI_ATTRIBUTES

COMPILED: Final = "compiled"
"""The folder in ``data_dir`` for compiled networks; it may be emptied at any time."""

TOGETHER: Final = 4
"""Cases that a GPU is given at once, unless the settings say otherwise.

Measured on no GPU yet: the first of them waits until three others are examined, and their volumes are kept meanwhile.
"""


def always() -> bool:
    """A CPU has room: what it lacks, the system says."""
    return True


@dataclass(frozen=True, slots=True)
class Workshop:
    """Everything that an analysis needs, ready to use."""

    settings: Settings
    stores: Stores
    decoder: Decoder
    segmenters: Sequence[tuple[Segmenter, Sequence[Anatomy]]]
    predictors: Mapping[str, Predictor]
    sources: Sequence[ClinicalSource]
    writers: Sequence[ReportWriter]
    destinations: Mapping[str, Destination]
    node_version: str
    notices: Sequence[NoticeObjectWriter] = ()
    has_room: Callable[[], bool] = always
    """Whether the device has memory for another case."""
    together: int = 1
    """How many cases that wait are predicted together."""


def open_workshop(settings: Settings, wanted_device: str = device.CPU) -> Workshop:
    """The workshop of one analysing process, its models loaded and warm.

    ``wanted_device``: ``cpu``, or ``auto`` for the GPU that this process can see; without one, the CPU.

    Raises:
        BundleError: a model bundle is incomplete or has changed.
        UsageError: a setting names something that does not exist.
    """
    threads = device.limit_threads(settings.workers.cpu)
    chosen_device = device.choose(wanted_device)
    if wanted_device != device.CPU and chosen_device == device.CPU:
        log.get().warning(log.NO_GPU)
    stores, segmenters, wanted = Stores.open(settings), _segmenters(settings, threads), _wanted(settings)
    bundles = {name: _bundle(settings, name, stores) for name in wanted}
    decoder = open_sandbox(settings, processes=threads)
    decoder.warm()
    return Workshop(
        settings=settings,
        stores=stores,
        decoder=decoder,
        segmenters=segmenters,
        predictors={
            name: _predictor(name, bundle, settings.data_dir / COMPILED, chosen_device)
            for name, bundle in bundles.items()
        },
        sources=open_sources(settings.clinical, stores.clinical),
        writers=(*wanted_writers(settings.reports), *([MessageWriter()] if settings.feed else ())),
        destinations=destinations(settings),
        node_version=version("celadon"),
        notices=tuple(resolve_notice(name) for name in NOTICE_WRITERS),
        together=settings.workers.together or (1 if chosen_device == device.CPU else TOGETHER),
        has_room=device.room(chosen_device, int(settings.workers.gpu_memory_gb * BYTES_PER_GB)),
    )


def open_bench(
    settings: Settings, bundle: Bundle
) -> tuple[Predictor, tuple[tuple[Segmenter, tuple[Anatomy, ...]], ...], Sandbox]:
    """What a cohort is examined with: a bundle's predictor, the configured segmenters of its organ, and a decoder.

    Raises as ``open_workshop``.
    """
    threads = device.limit_threads(1)
    decoder = open_sandbox(settings, processes=threads)
    decoder.warm()
    segmenters = tuple(
        (segmenter, (bundle.anatomy,))
        for segmenter, organs in _segmenters(settings, threads)
        if bundle.anatomy in organs
    )
    return _predictor(bundle.predictor, bundle, settings.data_dir / COMPILED, device.CPU), segmenters, decoder


def _segmenters(settings: Settings, threads: int) -> tuple[tuple[Segmenter, tuple[Anatomy, ...]], ...]:
    """Every configured segmenter with the organs that name it: first those that are first for some organ, and so on."""
    asked: dict[tuple[int, str], list[Anatomy]] = {}
    for name in settings.segmenters:
        if name in registry.SEGMENTERS:
            raise UsageError(f"segmenters.{name}: comes with Celadon and cannot be configured; choose another name")
    for anatomy in Anatomy:
        for rank, name in enumerate(settings.segmenter.get(anatomy.key, ())):
            if name not in registry.SEGMENTERS and name not in settings.segmenters:
                known = ", ".join(sorted({*registry.SEGMENTERS, *settings.segmenters}))
                raise UsageError(f"segmenter.{anatomy.key}: there is no segmenter {name!r}; known: {known}")
            asked.setdefault((rank, name), []).append(anatomy)
    made = {name: _segmenter(name, settings, threads) for name in dict.fromkeys(name for _, name in asked)}
    return tuple((made[name], tuple(organs)) for (_, name), organs in sorted(asked.items(), key=lambda one: one[0][0]))


def _segmenter(name: str, settings: Settings, threads: int) -> Segmenter:
    """One that comes with Celadon, or one that the settings describe.

    Raises UsageError when its program is not installed, BundleError when its bundle is not the one that is pinned.
    """
    if name in registry.SEGMENTERS:
        ours: Segmenter = registry.resolve(registry.SEGMENTERS[name])()
        return ours
    described = settings.segmenters[name]
    made: Segmenter = registry.resolve(registry.SEGMENTER_KINDS[described.kind])(name, described, threads)
    return made


def _wanted(settings: Settings) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(rule.predictor for rule in settings.rules))
    for name in names:
        if name not in registry.PREDICTORS:
            known = ", ".join(sorted(registry.PREDICTORS))
            raise UsageError(f"rules: there is no predictor {name!r}; known: {known}")
    for attribute in {name for rule in settings.rules for name in rule.when}:
        # A condition on something that is never known would quietly never hold.
        if attribute not in (*ROI_ATTRIBUTES, *ATTRIBUTES):
            known = ", ".join((*ROI_ATTRIBUTES, *ATTRIBUTES))
            raise UsageError(f"rules: {attribute!r} cannot be a condition; known: {known}")
    return names


def _bundle(settings: Settings, predictor: str, stores: Stores) -> Bundle:
    """The bundle that the settings choose, every byte compared with its record; a refusal is audited."""
    try:
        return chosen(settings, Library(settings.models_dir), predictor)
    except BundleError as error:
        details: dict[str, str | int | float] = {"predictor": predictor, "fault": error.fault.name}
        stores.audit.record(
            AuditEvent(datetime.now(UTC), "worker", AuditAction.MODEL_REFUSED, AuditOutcome.REFUSED, details=details)
        )
        raise


def _predictor(name: str, bundle: Bundle, cache: Path, where: str) -> Predictor:
    build = registry.resolve(registry.PREDICTORS[name])
    predictor: Predictor = build(bundle, where, cache)
    if where != device.CPU:
        predictor = OnCpuInstead(predictor, partial(build, bundle, device.CPU, cache), device.give_back)
    predictor.warm()
    identity = predictor.identity
    log.get().info(
        log.MODEL_LOADED,
        predictor=name,
        version=identity.version,
        digest=identity.digest,
        training_status=identity.status.value,
        disclaimer=identity.disclaimer,
    )
    return predictor
