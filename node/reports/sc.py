"""The secondary captures: a summary page and one picture a key slice (PS3.3 section A.8.1), for every viewer."""

from typing import Final

from highdicom.sc import SCImage
from pydicom import Dataset

from node.domain.reporting import ObjectKind, Report, ReportedNumber, ReportObject
from node.reports import codes, page, wording
from node.reports.codes import concept
from node.reports.drawing import RgbArray
from node.reports.envelope import arguments, seal
from node.reports.evidence import Evidence, gather, key_slices
from node.reports.explanation_page import explanation_page, has_reasons
from node.reports.key_image import key_image
from node.reports.naming import warnings
from node.reports.summary import summary

_DESCRIPTION_CHARACTERS: Final = 1024


class SummaryWriter:
    """Writes the page that a reader sees first, and behind it the reasons where the model gives any."""

    kind = ObjectKind.SUMMARY

    def write(self, report: Report) -> tuple[ReportObject, ...]:
        """One object with every number of the result, and one with the reasons."""
        index = key_slices(report)[0]
        evidence = gather(report, [index])
        pages = [("Summary page of an AI result", summary(report, evidence))]
        if has_reasons(report):
            pages.append(("Reasons for an AI result", explanation_page(report, evidence)))
        return tuple(self._one(report, evidence, number, index, *page) for number, page in enumerate(pages))

    def _one(
        self, report: Report, evidence: Evidence, number: int, index: int, how: str, pixels: RgbArray
    ) -> ReportObject:
        dataset = _capture(report, evidence, self.kind, number, pixels)
        _derive(dataset, report, evidence, index, how)
        return seal(dataset, report, evidence, self.kind, wording.numbers(report))


class KeyImageWriter:
    """Writes one picture a key slice, the most telling first."""

    kind = ObjectKind.KEY_IMAGES

    def write(self, report: Report) -> tuple[ReportObject, ...]:
        """One object a key slice of the explanation, in its order."""
        slices = tuple(dict.fromkeys(key_slices(report)))
        evidence = gather(report, slices)
        return tuple(self._one(report, evidence, number, index) for number, index in enumerate(slices))

    def _one(self, report: Report, evidence: Evidence, number: int, index: int) -> ReportObject:
        dataset = _capture(report, evidence, self.kind, number, key_image(report, evidence, index))
        explanation = report.prediction.explanation
        how = f"{explanation.method.value}, {explanation.target}, over the source slice"
        _derive(dataset, report, evidence, index, how)
        _, right, _, lower = page.directions(report)
        dataset.PatientOrientation = [right, lower]
        if not explanation.is_empty:
            dataset.DerivationCodeSequence = [concept(codes.EXPLANATIONS[explanation.method])]
        numbers = (ReportedNumber("Slice", index + 1),)
        return seal(dataset, report, evidence, self.kind, numbers)


def _capture(report: Report, evidence: Evidence, kind: ObjectKind, number: int, pixels: RgbArray) -> Dataset:
    """The image; a page has no orientation of its own, so Patient Orientation stays blank (type 2C)."""
    dataset: Dataset = SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        study_instance_uid=report.series.study_uid,
        **arguments(report, kind, number),
    )
    dataset.PatientOrientation = None
    dataset.BurnedInAnnotation = "YES"
    dataset.BodyPartExamined = codes.BODY_PARTS[report.roi.anatomy]
    dataset.ImageComments = evidence.characters.fit(wording.headline(report.prediction))
    return dataset


def _derive(dataset: Dataset, report: Report, evidence: Evidence, index: int, how: str) -> None:
    """Say what the picture was made from, and how (PS3.3 section C.7.6.1.1.3)."""
    image = evidence.images[index]
    source = Dataset()
    source.ReferencedSOPClassUID = image.SOPClassUID
    source.ReferencedSOPInstanceUID = image.SOPInstanceUID
    source.PurposeOfReferenceCodeSequence = [concept(codes.SOURCE_FOR_PROCESSING)]
    dataset.SourceImageSequence = [source]
    text = f"{how}; {wording.algorithm_line(report)}; {'; '.join(warnings(report))}"
    dataset.DerivationDescription = evidence.characters.fit(text)[:_DESCRIPTION_CHARACTERS]
