"""The picture that GTRNet reads."""

import numpy as np
import pytest

from models.preprocessing.slice_image import CHANNEL_MEAN, CHANNEL_SD, grey, network_image, standardised_image, windowed
from node.domain.reasons import ReasonCode
from node.errors import Refused


def test_the_abdominal_window_spans_black_to_white() -> None:
    """WL 50 / WW 350: -125 HU is black, 225 white, 50 the middle, and what lies outside is clipped."""
    hu = np.array([[-1000, -125, 50, 225, 3000]], dtype=np.float32)
    picture = windowed(hu, 50.0, 350.0)
    assert picture.tolist() == [[0, 0, 128, 255, 255]]
    assert picture.dtype == np.uint8
    assert grey(hu, 50.0, 350.0).tolist() == [[0.0, 0.0, 0.5, 1.0, 1.0]]


def test_three_equal_channels_are_normalised_for_imagenet() -> None:
    """A flat picture gives each channel its grey less the channel's mean, over its deviation."""
    image = network_image(np.full((512, 512), 51, dtype=np.uint8), (224, 224))
    assert image.shape == (3, 224, 224)
    assert image.dtype == np.float32
    assert np.allclose(image[:, 100, 100], (0.2 - CHANNEL_MEAN) / CHANNEL_SD)


def test_rows_stay_rows() -> None:
    """A bright lower half is in the lower half of the picture, and a picture need not be square."""
    picture = np.zeros((40, 60), dtype=np.uint8)
    picture[20:] = 255
    image = network_image(picture, (224, 224))
    assert image[0, 200].min() > image[0, 20].max()


def test_the_papers_picture_has_mean_0_and_deviation_1() -> None:
    """Methods, "z-score normalization (mean subtraction and division by standard deviation)": all channels alike."""
    picture = np.random.default_rng(0).random((300, 280)).astype(np.float32)
    image = standardised_image(picture, (224, 224))
    assert image.shape == (3, 224, 224)
    assert image.dtype == np.float32
    assert abs(float(image.mean())) < 1e-5
    assert abs(float(image.std()) - 1.0) < 1e-5
    assert np.array_equal(image[0], image[2])


def test_a_picture_of_one_value_has_no_zscore() -> None:
    """All black after windowing: refused with its code rather than divided by zero."""
    with pytest.raises(Refused, match="equal after windowing") as caught:
        standardised_image(np.zeros((300, 300), dtype=np.float32), (224, 224))
    assert caught.value.reason.code is ReasonCode.INPUT_CONTRACT
