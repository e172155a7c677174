"""Patients' names: any script, one form, no characters that nobody can see."""

import hashlib

import pytest
from pydantic import ValidationError

from shared.contract.commands import SlotRequest
from shared.domain.digests import Digests

SLOT = "2025-12-05T10:00:00Z"


def request(name: object) -> SlotRequest:
    return SlotRequest.model_validate({"slot": SLOT, "patientName": name})


@pytest.mark.parametrize(
    "name", ["Ada", "José Ñandú", "李小龍", "محمد", "क्षत्रिय", "👩🏽‍⚕️ Zoë", "x" * 200, "O'Neil"]
)
def test_any_script_is_a_name(name: str) -> None:
    """A name may be written in any script, of up to 200 characters."""
    assert request(name).patientName == name


def test_a_name_has_one_form() -> None:
    """Names that look the same are the same: trimmed, and composed (NFC)."""
    assert request("  Jose\u0301 ").patientName == "José"


@pytest.mark.parametrize(
    "name", ["x" * 201, "A\x00da", "A\nda", "A\u2028da", "A\x7fda", "\ud800", 7, True, [], {}]
)
def test_other_values_are_no_names(name: object) -> None:
    """A name is text of 1 to 200 characters, without control characters or lone surrogates."""
    with pytest.raises(ValidationError) as caught:
        request(name)
    assert caught.value.errors()[0]["loc"] == ("patientName",)


def test_what_is_derived_from_a_name_is_keyed() -> None:
    """A digest of a name, or of a request, tells nothing to who has a telephone book and not the secret."""
    asked = request("Zebra Canary")
    ours, others = Digests(b"ours"), Digests(b"others'")
    assert ours.of_name("Zebra Canary") != others.of_name("Zebra Canary")
    assert ours.of_request(asked) != others.of_request(asked)
    plain = {hashlib.sha256(text).hexdigest() for text in (b"Zebra Canary", b"name:Zebra Canary")}
    assert ours.of_name("Zebra Canary") not in plain


def test_equal_names_have_equal_digests() -> None:
    """A patient is known again by the name, however it was composed."""
    digests = Digests(b"ours")
    assert digests.of_name(request(" Jose\u0301").patientName) == digests.of_name("José")
    assert digests.of_name("José") != digests.of_name("Jose")
