"""Learning: networks, preprocessing, explanation, predictors, segmenters. No DICOM network, no database."""
