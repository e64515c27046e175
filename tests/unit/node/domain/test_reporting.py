"""Result objects: how they are numbered for a viewer."""

from node.domain.reporting import ObjectKind


def test_results_come_after_what_a_scanner_makes_summary_first() -> None:
    """Series numbers from 9000, a hundred apart, in the order in which they should be read."""
    assert [(kind.name, kind.series_number) for kind in sorted(ObjectKind, key=lambda kind: kind.series_number)] == [
        ("SUMMARY", 9000), ("KEY_IMAGES", 9100), ("SEGMENTATION", 9200), ("STRUCTURED_REPORT", 9300),
        ("PARAMETRIC_MAP", 9400), ("DOCUMENT", 9500), ("ENHANCED_REPORT", 9600), ("NOTICE", 9700),
        ("NOTICE_REPORT", 9800), ("REJECTION_NOTE", 9900), ("MESSAGE", 18000),
        ("MESSAGE_WITHDRAWN", 18100),
    ]  # fmt: skip
