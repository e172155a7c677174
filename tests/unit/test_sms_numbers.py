"""Phone numbers: one form of each, and nothing stored or said that contains one."""

import pytest

from gateway.sms.numbers import NumberDigests, read_number

NUMBER = "+4940555010"
DIGESTS = NumberDigests("0123456789abcdef0123456789abcdef")


@pytest.mark.parametrize("text", [NUMBER, "+49 40 555010", "+49 (40) 555-010", " +4940555010 "])
def test_number_has_one_form(text: str) -> None:
    """Equal numbers are equal, however people write them."""
    assert read_number(text) == NUMBER


@pytest.mark.parametrize(
    "text", ["", "040 555010", "+", "+49", "ada@example.org", "+4940555010" * 9, "12345"]
)
def test_wrong_number_is_refused_without_it(text: str) -> None:
    """The sentence of a refusal does not repeat the text."""
    with pytest.raises(ValueError, match=r"^must be") as caught:
        read_number(text)
    assert len(text) < 4 or text not in str(caught.value)


def test_digest_depends_on_the_number_and_the_secret() -> None:
    """Who does not know the secret cannot find a number by trying all of them."""
    other = NumberDigests("another secret of 32 characters!")
    assert DIGESTS.of(NUMBER) == DIGESTS.of(NUMBER) != DIGESTS.of("+4940555011")
    assert other.of(NUMBER) != DIGESTS.of(NUMBER)
    assert NUMBER.strip("+") not in DIGESTS.of(NUMBER)
