"""The one place that chooses concrete classes for workers: stores, segmenters, predictors, sources, writers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from models import device, registry
from models.bundle import Bundle
from models.library import Library
from models.selection import chosen
from node import log
from node.clinical.registry import open_sources
from node.destinations.registry import destinations
from node.dicom.reading import ATTRIBUTES
from node.dicom.sandbox import Decoder
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.coding import Anatomy
from node.domain.ports import ClinicalSource, Destination, Predictor, ReportWriter, Segmenter
from node.errors import BundleError, UsageError
from node.reports.registry import WRITERS, resolve
from node.settings import Settings
from node.stores import Stores, open_sandbox
from node.triage.rules import ROI_ATTRIBUTES

COMPILED: Final = "compiled"
"""The folder in ``data_dir`` for compiled networks; it may be emptied at any time."""


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


def open_workshop(settings: Settings) -> Workshop:
    """The workshop of one analysing process, its models loaded and warm.

    Raises:
        BundleError: a model bundle is incomplete or has changed.
        UsageError: a setting names something that does not exist.
    """
    threads = device.limit_threads(settings.workers.cpu)
    stores, segmenters, wanted = Stores.open(settings), _segmenters(settings), _wanted(settings)
    bundles = {name: _bundle(settings, name, stores) for name in wanted}
    decoder = open_sandbox(settings, processes=threads)
    decoder.warm()
    return Workshop(
        settings=settings,
        stores=stores,
        decoder=decoder,
        segmenters=segmenters,
        predictors={name: _predictor(name, bundle, settings.data_dir / COMPILED) for name, bundle in bundles.items()},
        sources=open_sources(settings.clinical, stores.clinical),
        writers=tuple(resolve(name) for name in WRITERS),
        destinations=destinations(settings),
        node_version=version("celadon"),
    )


def _segmenters(settings: Settings) -> tuple[tuple[Segmenter, tuple[Anatomy, ...]], ...]:
    """Every configured segmenter with the organs that name it, in the order in which they are named."""
    organs: dict[str, list[Anatomy]] = {}
    for anatomy in Anatomy:
        for name in settings.segmenter.get(anatomy.key, ()):
            if name not in registry.SEGMENTERS:
                known = ", ".join(sorted(registry.SEGMENTERS))
                raise UsageError(f"segmenter.{anatomy.key}: there is no segmenter {name!r}; known: {known}")
            organs.setdefault(name, []).append(anatomy)
    return tuple((registry.resolve(registry.SEGMENTERS[name])(), tuple(asked)) for name, asked in organs.items())


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


def _predictor(name: str, bundle: Bundle, cache: Path) -> Predictor:
    predictor: Predictor = registry.resolve(registry.PREDICTORS[name])(bundle, device.choose(device.CPU), cache)
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
