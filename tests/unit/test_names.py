"""Patients' names: any script, one form, no invisible name."""

import hashlib
import hmac
import json
import re

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.contract.commands import SlotRequest
from shared.contract.names import NAME_PATTERN, normalise_name, read_name
from shared.domain.digests import Digests

SLOT = "2025-12-05T10:00:00Z"


def request(name: object) -> SlotRequest:
    return SlotRequest.model_validate({"slot": SLOT, "patientName": name})


@pytest.mark.parametrize(
    "name", ["Ada", "José Ñandú", "李小龍", "محمد", "क्षत्रिय", "👩🏽‍⚕️ Zoë", "x" * 200, "O'Neil"]
)
def test_name_may_be_in_any_script(name: str) -> None:
    """A name has up to 200 characters of any script."""
    assert request(name).patientName == name


# Invisible characters: some of each range of Default_Ignorable_Code_Point, and blank glyphs.
INVISIBLE = [
    *"\u00ad\u034f\u061c\u115f\u1160\u17b4\u180b\u180e\u200b\u200c\u200d\u200e\u2060\u2064\u206a\u2800",
    *"\u3164\ufe00\ufe0f\ufeff\uffa0\ufff0\U0001bca0\U0001d173\U000e0001\U000e0041\U000e007f\U000e0100",
]
SPACES = [*" \u00a0\u1680\u2000\u2003\u2009\u200a\u202f\u205f\u3000"]
VISIBLE = "AdaÀé李王ñ'-👩क्ष"


@pytest.mark.parametrize(
    "pasted",
    [
        "  José Ñandú ",
        "Jose\u0301 N\u0303andu\u0301",
        "José   Ñandú",
        "José\u00a0Ñandú\u202f",
        "José \u00a0\u2003 Ñandú",
        "\ufeffJosé Ñandú\u200b",
        "\u200e José Ñandú \u00ad\ufe0f",
        "\tJosé Ñandú\r\n",
        "\U000e0041José\u3000Ñandú\u2028",
    ],
    ids=ascii,
)
def test_name_has_one_form(pasted: str) -> None:
    """Names that look equal are equal: composed, single spaces, nothing invisible at the ends."""
    assert request(pasted).patientName == "José Ñandú"


@given(st.text(alphabet=st.sampled_from([*INVISIBLE, *SPACES, *VISIBLE, "\u0301", "\u0338"]), max_size=20))
def test_normalising_a_name_is_idempotent(text: str) -> None:
    """The name in a booking's answer is the same patient in the next request."""
    once = normalise_name(text)
    assert normalise_name(once) == once


@given(st.text(max_size=20) | st.text(alphabet=[*INVISIBLE, *SPACES, *"A\x1c\x85\n\u202e"], max_size=8))
def test_documented_pattern_accepts_exactly_the_accepted_names(text: str) -> None:
    """A name is refused if and only if the pattern in the documents refuses it."""
    try:
        accepted = bool(read_name(text))
    except ValueError:
        accepted = False
    assert accepted == (re.search(NAME_PATTERN, text) is not None)


@pytest.mark.parametrize("name", [*INVISIBLE, "".join(INVISIBLE), "\u200b \u2800\u3164 \ufe0f"], ids=ascii)
def test_name_without_a_visible_character_is_refused(name: str) -> None:
    """A name of invisible characters only is refused."""
    with pytest.raises(ValidationError, match="patientName\n *must have at least one visible character"):
        request(name)


@pytest.mark.parametrize("inside", ["\u200c", "\u200d", "\ufe0f", "\U000e0100"], ids=ascii)
def test_joiners_and_selectors_stay_inside_a_name(inside: str) -> None:
    """Persian, Sinhala and emoji need them inside a word."""
    assert request(f"A{inside}da").patientName == f"A{inside}da"


def test_variation_selector_stays_after_an_ideograph() -> None:
    """A selector at the end of a Japanese name selects a glyph and stays; a second one is removed."""
    assert request("渡辻\U000e0100\u200b").patientName == "渡辻\U000e0100"
    assert request("渡辻\U000e0100\U000e0101").patientName == "渡辻\U000e0100"
    assert request("Ada\U000e0100").patientName == "Ada"


def test_name_limit_counts_composed_characters() -> None:
    """200 characters that NFC composes pass; 200 that NFC decomposes do not, and the sentence names NFC."""
    assert request("e\u0301" * 200).patientName == "é" * 200
    assert request("\u0958" * 100).patientName == "\u0915\u093c" * 100
    with pytest.raises(ValidationError, match=r"200 characters, counted in composed form \(Unicode NFC\)"):
        request("\u0958" * 200)


@pytest.mark.parametrize("control", [*"\x00\x0b\x0c\x1b\x1c\x1d\x1e\x1f\x7f\x85\x9f"], ids=ascii)
@pytest.mark.parametrize("place", ["{}Ada", "Ada{}", "A{}da", "{}"])
def test_control_character_is_refused_at_any_position(control: str, place: str) -> None:
    """No control character counts as white space."""
    with pytest.raises(ValidationError, match="patientName\n *must not contain control characters"):
        request(place.format(control))


@pytest.mark.parametrize(
    "name", ["x" * 201, "A\x00da", "A\nda", "A\u2028da", "A\x7fda", "\ud800", 7, True, [], {}]
)
def test_other_values_are_refused_as_names(name: object) -> None:
    """A name is text of 1 to 200 characters, without control characters or lone surrogates."""
    with pytest.raises(ValidationError) as caught:
        request(name)
    assert caught.value.errors()[0]["loc"] == ("patientName",)


def test_digest_of_a_name_is_keyed() -> None:
    """Without the secret, a digest cannot be matched against a list of names."""
    asked = request("Zebra Canary")
    ours, others = Digests(b"ours"), Digests(b"others'")
    assert ours.of_name("Zebra Canary") != others.of_name("Zebra Canary")
    assert ours.of_request(asked) != others.of_request(asked)
    plain = {hashlib.sha256(text).hexdigest() for text in (b"Zebra Canary", b"name:Zebra Canary")}
    assert ours.of_name("Zebra Canary") not in plain


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.lists(st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True), min_size=1, max_size=8, unique=True),
    st.none() | st.integers(1, 1440),
)
def test_the_digest_of_a_request_is_that_of_its_json(
    name: str, resources: list[str], minutes: int | None
) -> None:
    """Rows keep this digest, so every release computes it from the same text: the JSON of what was asked."""
    sent = {"slot": SLOT, "patientName": f"Ada {name}", "resources": resources, "durationMinutes": minutes}
    try:
        asked = SlotRequest.model_validate(sent)
    except ValidationError:
        reject()
    text = json.dumps(["2025-12-05T10:00:00.000Z", minutes, sorted(resources), asked.patientName])
    expected = hmac.new(b"ours", f"request:{text}".encode(), "sha256").hexdigest()
    assert Digests(b"ours").of_request(asked) == expected


def test_digest_of_a_request_covers_its_contact_if_it_has_one() -> None:
    """Two requests that differ in their contact alone, or in having one, are different requests."""
    without = request("Ada")
    digests = Digests(b"ours")
    kinds = [without, *(without.model_copy(update={"contact": text}) for text in ("a@b.org", "c@d.org"))]
    assert len({digests.of_request(kind) for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("contact", ["", " \u200b", "x" * 201, "+49\n40", "\u202e+49", 49, [], True])
def test_contact_is_checked_like_a_name(contact: object) -> None:
    """A wrong contact is refused by a sentence that names the field."""
    with pytest.raises(ValidationError) as caught:
        SlotRequest.model_validate({"slot": SLOT, "patientName": "Ada", "contact": contact})
    assert caught.value.errors()[0]["loc"] == ("contact",)
    spaced = {"slot": SLOT, "patientName": "Ada", "contact": " +49  40\u00a012 "}
    assert SlotRequest.model_validate(spaced).contact == "+49 40 12"


def test_equal_names_have_equal_digests() -> None:
    """A name has the same digest in any composition."""
    digests = Digests(b"ours")
    assert digests.of_name(request(" Jose\u0301").patientName) == digests.of_name("José")
    assert digests.of_name("José") != digests.of_name("Jose")
