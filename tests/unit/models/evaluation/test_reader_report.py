"""The report of a reader study."""

from models.evaluation.document import Paragraph, Table
from models.evaluation.reader_plan import plan
from models.evaluation.reader_report import compose
from models.evaluation.reader_study import analyse

CASES = [f"c{number}" for number in range(12)]
TRUTHS = {case: number % 3 for number, case in enumerate(CASES)}
CLASSES = ("T1", "T2", "T3")


def test_every_reader_and_all_of_them_have_both_arms() -> None:
    """With each class' sensitivity; what is not complete says so."""
    key = plan(CASES, [CLASSES[TRUTHS[case]] for case in CASES], ["Ada", "Bo"], 1)
    answers = {one.code: (TRUTHS[one.case], 20.0) for one in key[:-1]}
    blocks = tuple(compose("Reader study", analyse(key, answers, TRUTHS, CLASSES, 1, draws=100)))
    warnings = [block.text for block in blocks if isinstance(block, Paragraph) and block.is_warning]
    assert warnings == ["The study is not complete: figures are of the pairs that both arms have."]
    readings, gains, arms = (block for block in blocks if isinstance(block, Table))
    assert readings.rows == (("48", "47", "23"),)
    assert [row[0] for row in gains.rows] == ["Ada", "Bo", "all readers"]
    assert [row[:2] for row in arms.rows] == [
        (reader, arm) for reader in ("Ada", "Bo", "all readers") for arm in ("without", "with")
    ]
    assert set(CLASSES) < set(arms.columns)
    assert all(len(row) == len(arms.columns) for row in arms.rows)
