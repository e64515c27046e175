"""The parametric map."""

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK
from pydicom import Dataset, dcmread

from node.domain.reporting import Report
from node.reports.pm import ParametricMapWriter
from tests.unit.node.reports.factory import ORIGIN, SPACING_XYZ_MM, gtrnet

MakeReport = Callable[..., Report]
READER = Path(sys.executable).parent / "paramap2itkimage"  # dcmqi, a test dependency


def _graded(report: Report) -> Report:
    """The report with a map whose every value is its own."""
    saliency = np.linspace(0.01, 1.0, 2 * 16 * 20, dtype=np.float32).reshape(2, 16, 20)
    explanation = replace(report.prediction.explanation, saliency=saliency)
    return replace(report, prediction=replace(report.prediction, explanation=explanation))


def _written(report: Report) -> Dataset:
    return dcmread(io.BytesIO(ParametricMapWriter().write(report)[0].content))


def test_a_map_without_evidence_is_not_written(make_report: MakeReport) -> None:
    """An empty colour map in a viewer would look like a finding, or like a fault."""
    assert ParametricMapWriter().write(make_report(gtrnet(empty=True))) == ()


def test_only_slices_with_evidence_have_a_frame(make_report: MakeReport) -> None:
    """The map's box covers two of the six slices: two frames, each whole, as 32 bits float."""
    dataset = _written(make_report())
    assert (dataset.NumberOfFrames, dataset.Rows, dataset.Columns) == (2, 64, 80)
    assert "FloatPixelData" in dataset


def test_the_frames_are_in_the_order_of_the_slices(make_report: MakeReport) -> None:
    """Position, dimension index and values of a frame belong together, lowest slice first."""
    report = _graded(make_report())
    dataset = _written(report)
    heights = [f.PlanePositionSequence[0].ImagePositionPatient[2] for f in dataset.PerFrameFunctionalGroupsSequence]
    indices = [f.FrameContentSequence[0].DimensionIndexValues for f in dataset.PerFrameFunctionalGroupsSequence]
    sources = [
        f.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for f in dataset.PerFrameFunctionalGroupsSequence
    ]
    assert heights == [106.0, 109.0]
    assert [index if isinstance(index, int) else index[-1] for index in indices] == [1, 2]
    assert sources == list(report.volume.instance_uids[2:4])
    np.testing.assert_array_equal(dataset.pixel_array[0], report.prediction.explanation.on_slice(2, (64, 80)))


def test_the_values_mean_evidence_by_the_named_method(make_report: MakeReport) -> None:
    """What a value is stands in the object: the method's code, no units, and what is explained."""
    mapping = _written(make_report()).SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.LUTExplanation == "Grad-CAM, evidence for cT3"
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "130403"
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)


def test_another_toolkit_reads_the_same_map_at_the_same_place(make_report: MakeReport, tmp_path: Path) -> None:
    """The toolkit dcmqi gives back every value, and the geometry to a hundredth of a millimetre."""
    report = _graded(make_report())
    path = tmp_path / "map.dcm"
    path.write_bytes(ParametricMapWriter().write(report)[0].content)
    command = [str(READER), "--inputDICOM", str(path), "--outputDirectory", str(tmp_path), "--outputType", "nrrd"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    image = SimpleITK.ReadImage(str(next(tmp_path.glob("*.nrrd"))))
    values = SimpleITK.GetArrayFromImage(image)
    explanation = report.prediction.explanation
    expected = np.stack([explanation.on_slice(k, (64, 80)) for k in (2, 3)])
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_allclose(image.GetSpacing(), SPACING_XYZ_MM, atol=0.01)
    np.testing.assert_allclose(image.GetOrigin(), (ORIGIN[0], ORIGIN[1], ORIGIN[2] + 2 * SPACING_XYZ_MM[2]), atol=0.01)
