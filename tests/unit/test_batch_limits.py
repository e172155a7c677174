"""Batches: the size limit applies to each command as if it were sent alone."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.many import FEW, SHORT, SHORT_NAME, is_too_large
from shared.contract.parsing import LARGEST_REQUEST

TEXTS = st.one_of(
    st.text(max_size=300),
    st.builds(
        lambda letter, count: letter * count, st.sampled_from("a\x01é\U0001f600"), st.integers(0, 20_000)
    ),
)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), TEXTS, st.lists(TEXTS, max_size=9))


def bytes_of(command: object) -> int:
    return len(json.dumps(command, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass"))


@given(st.dictionaries(TEXTS, VALUES, max_size=9))
def test_command_is_too_large_by_the_bytes_of_its_json(command: dict[str, Any]) -> None:
    """The quick check and the measurement give the same result."""
    assert is_too_large(command) == (bytes_of(command) > LARGEST_REQUEST)


@pytest.mark.parametrize("value", ["\x01" * SHORT, ["\x01" * (SHORT // FEW)] * FEW], ids=["text", "list"])
def test_command_that_passes_the_quick_check_is_not_too_large(value: object) -> None:
    """The largest command that the quick check accepts, in JSON's longest escapes, is within the limit."""
    command = {"\x01" * (SHORT_NAME - 1) + str(number): value for number in range(FEW)}
    assert bytes_of(command) <= LARGEST_REQUEST
    assert not is_too_large(command)
