"""One operation a file: pure functions on arrays indexed [slice, row, column], each with its source cited."""
