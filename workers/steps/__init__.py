"""The steps of an analysis, one short file each; each takes and returns domain values."""
