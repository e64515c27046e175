"""Result objects: one report in, finished DICOM files out. The only room that knows highdicom."""
