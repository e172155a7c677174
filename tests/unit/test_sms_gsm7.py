"""Segments of texts, as carriers bill them."""

import pytest

from gateway.sms.gsm7 import segments


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("ä" * 160, 1),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("ł" * 70, 1),
        ("ł" * 71, 2),
        ("👍" * 35, 1),
        ("👍" * 36, 2),
    ],
)
def test_segments_of_a_text(text: str, count: int) -> None:
    """A segment has 160 characters of GSM-7, some of them counting twice, or 70 of UCS-2."""
    assert segments(text) == count
