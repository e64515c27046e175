"""Where clinical variables come from: one file a source."""
