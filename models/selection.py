"""Which bundle each predictor is made from: the one that the settings name, or the one that ships under its name."""

from collections.abc import Mapping
from types import MappingProxyType

from models import registry
from models.bundle import Bundle
from models.bundle_store import Library
from node.errors import UsageError
from node.settings import BundleChoice, Settings


def choices(settings: Settings) -> Mapping[str, BundleChoice]:
    """For every predictor the bundle that it is to be made from; UsageError when the settings name no predictor."""
    for name in settings.models:
        if name not in registry.PREDICTORS:
            raise UsageError(f"models.{name}: there is no such predictor; known: {', '.join(registry.PREDICTORS)}")
    return MappingProxyType({name: BundleChoice.parse(settings.models.get(name, name)) for name in registry.PREDICTORS})


def chosen(settings: Settings, library: Library, predictor: str) -> Bundle:
    """The bundle for ``predictor``, every byte of it compared with what was recorded and what the settings pin.

    Raises:
        UsageError: the settings name a bundle that is not there, or one for another predictor.
        BundleError: it is not what was recorded or pinned.
    """
    choice = choices(settings)[predictor]
    try:
        entry = library.entry(choice.name)
    except UsageError as error:
        raise UsageError(f"models.{predictor}: {error}") from error
    bundle = entry.open(choice.digest)
    if bundle.predictor != predictor:
        raise UsageError(f"models.{predictor}: the bundle {choice.name!r} is for {bundle.predictor!r}")
    return bundle
