"""Patients' names: any script, one form, no characters that nobody can see."""

import pytest
from pydantic import ValidationError

from shared.contract.commands import SlotRequest
from shared.domain.grid import Grid
from shared.stores.redis.claims import HoldClaim

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


def test_a_hold_is_kept_without_the_name() -> None:
    """Redis gets a digest of the name, never the name."""
    claim = HoldClaim.of(request("Zebra Canary"), Grid(0).span_of(request("Zebra Canary")))
    assert "Zebra" not in f"{claim.keys} {claim.digest}"
    assert len(claim.digest) == 64
