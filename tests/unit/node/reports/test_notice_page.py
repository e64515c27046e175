"""The page of a notice."""

from collections.abc import Callable

import pytest

from node.domain.reporting import Notice, NoticeKind
from node.reports.evidence import gather_for
from node.reports.notice_page import notice_page

MakeNotice = Callable[..., Notice]


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_who_what_and_why_are_on_the_page(make_notice: MakeNotice, words: list[str], kind: NoticeKind) -> None:
    """The patient, the heading in capitals, what it means and the reason, none of it cut."""
    notice = make_notice(kind)
    notice_page(notice, gather_for(notice))
    told = " ".join(words)
    assert "ID PAT-7" in told
    assert kind.value.upper() in told
    assert ("not a negative result" in told) == (kind is not NoticeKind.WITHDRAWN)
    assert "holds no voxel of this series" in told
    assert "..." not in told


def test_the_heading_is_the_largest_writing(make_notice: MakeNotice) -> None:
    """From across the room it can be told from a result: the upper half holds large bright letters."""
    notice = make_notice(NoticeKind.WITHDRAWN)
    pixels = notice_page(notice, gather_for(notice))
    bright = (pixels[220:320, 24:1000].min(axis=2) > 200).any(axis=1)
    assert bright.sum() > 40
