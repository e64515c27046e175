"""The picture that GTRNet's published checkpoint reads."""

import numpy as np

from models.preprocessing.slice_image import CHANNEL_MEAN, CHANNEL_SD, network_image, windowed


def test_the_abdominal_window_spans_black_to_white() -> None:
    """WL 50 / WW 350: -125 HU is black, 225 white, 50 the middle, and what lies outside is clipped."""
    hu = np.array([[-1000, -125, 50, 225, 3000]], dtype=np.float32)
    grey = windowed(hu, 50.0, 350.0)
    assert grey.tolist() == [[0, 0, 128, 255, 255]]
    assert grey.dtype == np.uint8


def test_three_equal_channels_are_normalised_for_imagenet() -> None:
    """A flat picture gives each channel its grey less the channel's mean, over its deviation."""
    image = network_image(np.full((512, 512), 51, dtype=np.uint8), (224, 224))
    assert image.shape == (3, 224, 224)
    assert image.dtype == np.float32
    assert np.allclose(image[:, 100, 100], (0.2 - CHANNEL_MEAN) / CHANNEL_SD)


def test_rows_stay_rows() -> None:
    """A bright lower half is in the lower half of the picture, and a picture need not be square."""
    grey = np.zeros((40, 60), dtype=np.uint8)
    grey[20:] = 255
    image = network_image(grey, (224, 224))
    assert image[0, 200].min() > image[0, 20].max()
