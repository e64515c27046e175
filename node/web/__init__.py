"""The page beside the viewer: worklist, case, verdicts, audit; the API, health and metrics."""
