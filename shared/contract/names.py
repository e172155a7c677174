r"""Patients' names: the one form in which a name is stored, compared and hashed.

Normalise to NFC, collapse white space to one space, remove invisible characters from both ends. Characters
that join or select glyphs (ZWJ, ZWNJ, variation selectors) stay inside a name, because scripts need them.
"""

import re
import unicodedata

NAME_LENGTH = 200

# Category Zs of Unicode.
_SPACES = " \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
# The property Default_Ignorable_Code_Point without the bidirectional controls, and four characters that fonts
# leave blank. https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u2065\u206a-\u206f\u2800"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00016fe4\U0001bca0-\U0001bca3\U0001d159"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# A pasted name may end with line ends and tabs. Inside a name they are refused.
_LINE_ENDS = r"\t\n\r\u2028\u2029"
_EDGE = f"{_SPACES}{_INVISIBLE}{_LINE_ENDS}"
_REFUSED = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069"
# A variation selector after an ideograph belongs to it: two names may differ by it alone.
_IDEOGRAPH = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_IDEOGRAPHIC_VARIATION = "\U000e0100-\U000e01ef"

NAME_PATTERN = re.sub(
    "[\u0080-\uffff]",
    lambda character: f"\\u{ord(character[0]):04x}",  # as escapes, so that the documents are legible
    f"^[{_EDGE}]*[^{_EDGE}{_REFUSED}]([^{_REFUSED}]*[^{_EDGE}{_REFUSED}])?[{_EDGE}]*$",
)
"""The accepted names as a JSON Schema pattern, without the limit of their length."""

_SPACE_RUN = re.compile(f"[{_SPACES}]+")
_IS_EDGE = re.compile(f"[{_EDGE}]")
_IS_VARIED_IDEOGRAPH = re.compile(f"[{_IDEOGRAPH}][{_IDEOGRAPHIC_VARIATION}]")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BIDI_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069]")


def read_name(text: str) -> str:
    """Validate a name, and return its normal form.

    Raises:
        ValueError: a sentence for the caller that begins with "must" and never repeats the name.
    """
    name = normalise_name(text)
    if not name:
        raise ValueError("must have at least one visible character")
    if len(name) > NAME_LENGTH:
        raise ValueError(f"must have 1 to {NAME_LENGTH} characters, counted in composed form (Unicode NFC)")
    if name.isascii() and name.isprintable():  # as most names are
        return name
    if _CONTROLS.search(name):
        raise ValueError("must not contain control characters, line separators or lone surrogates")
    if _BIDI_CONTROLS.search(name):  # they can display a name as a different one
        raise ValueError("must not contain bidirectional overrides, embeddings or isolates")
    return name


def normalise_name(text: str) -> str:
    """Return the normal form of a text, valid name or not. Normalising is idempotent."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    return _SPACE_RUN.sub(" ", _trim(unicodedata.normalize("NFC", text)))


def _trim(name: str) -> str:
    begins, ends = 0, len(name)
    while begins < ends and _IS_EDGE.match(name, begins):
        begins += 1
    while ends > begins and _IS_EDGE.match(name, ends - 1):
        if ends - begins > 1 and _IS_VARIED_IDEOGRAPH.match(name, ends - 2):
            break
        ends -= 1
    return name[begins:ends]
