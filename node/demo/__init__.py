"""The demonstration: a bundled series, a PACS to send it from, and the two stand-in regions."""
