"""Everything that touches DICOM objects on their way in and out: network, headers, pixels, contours."""
