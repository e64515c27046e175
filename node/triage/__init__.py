"""May this series be analysed, and by what? Decided from headers, before any pixel is decoded."""
