"""Every registered clinical source keeps to what the port promises."""

from collections.abc import Iterator, Sequence

import pytest

from node.clinical.registry import SOURCES, open_sources
from node.domain.clinical import Findings
from node.domain.clinical_intake import KnownValue
from node.domain.clinical_variables import ROWS, NumberRow
from node.domain.imaging import PatientIdentity
from node.domain.ports import ClinicalSource
from node.errors import UsageError
from node.settings import ClinicalSettings, FhirSettings
from tests.factories import ct_slices, series_of
from tests.fhir_server import Server, fhir_server

every_source = pytest.mark.parametrize("name", SOURCES)


class NothingKnown:
    """A database without values."""

    def of(self, patient: PatientIdentity) -> Sequence[KnownValue]:  # noqa: ARG002 — the port's signature
        """None."""
        return ()


@pytest.fixture
def settings() -> Iterator[ClinicalSettings]:
    """Settings with which every source opens: a FHIR server is there, and knows nobody."""
    with fhir_server(Server()) as server:
        yield ClinicalSettings(fhir=FhirSettings(base_url=server.url, identifier_system="urn:oid:1.2.3"))


def opened(name: str, settings: ClinicalSettings) -> ClinicalSource:
    """The source under ``name``."""
    source = SOURCES[name](settings, NothingKnown())
    assert source is not None
    return source


@every_source
def test_it_is_a_source_under_its_own_name(name: str, settings: ClinicalSettings) -> None:
    """The name in the registry is the name that its values carry."""
    source = opened(name, settings)
    assert isinstance(source, ClinicalSource)
    assert source.name == name


@every_source
def test_its_values_say_where_they_come_from_and_in_what_unit(name: str, settings: ClinicalSettings) -> None:
    """One value a variable, in the unit that the models expect."""
    values = opened(name, settings).gather(series_of(ct_slices(3, PatientSize="1.7", PatientWeight="70"))).values
    assert {value.source for value in values} <= {name}
    assert len({value.variable for value in values}) == len(values)
    for value in values:
        row = ROWS[value.variable]
        assert value.unit == (row.unit if isinstance(row, NumberRow) else "")


@every_source
def test_it_survives_a_header_without_anything(name: str, settings: ClinicalSettings) -> None:
    """A patient about whom nothing is known gives no values and no error."""
    unknown = series_of(ct_slices(3, PatientID="", PatientBirthDate="", PatientSex="", StudyDate="", StudyTime=""))
    assert opened(name, settings).gather(unknown) == Findings()


def test_sources_come_in_the_configured_order() -> None:
    """The first is asked first."""
    settings = ClinicalSettings(sources=("dicom-header", "csv"))
    assert [source.name for source in open_sources(settings, NothingKnown())] == ["dicom-header", "csv"]


def test_the_default_order_names_only_sources_that_exist() -> None:
    """People first, the header last."""
    names = [source.name for source in open_sources(ClinicalSettings(), NothingKnown())]
    assert (names[0], names[-1]) == ("entered", "dicom-header")


def test_an_unknown_source_is_named() -> None:
    """A source that is silently not asked would be worse than none."""
    with pytest.raises(UsageError, match=r"clinical\.sources: there is no source 'crystal-ball'"):
        open_sources(ClinicalSettings(sources=("crystal-ball",)), NothingKnown())


def test_a_source_that_is_not_configured_is_not_asked() -> None:
    """Without a server there is no FHIR source."""
    assert "fhir" not in [source.name for source in open_sources(ClinicalSettings(), NothingKnown())]
