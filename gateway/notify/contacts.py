"""Read the contact of a booking: what a person typed, a phone number, an e-mail address, or neither."""

import re
from dataclasses import dataclass

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
LONGEST_ADDRESS = 200


@dataclass(frozen=True, repr=False)
class Phone:
    """A phone number in E.164."""

    number: str


@dataclass(frozen=True, repr=False)
class Mailbox:
    """An e-mail address."""

    address: str


def read_contact(text: str, region: str | None) -> Phone | Mailbox | None:
    """Return where a message to a patient goes; None if nowhere.

    Args:
        text: the contact of a booking.
        region: the country (ISO 3166) of numbers without an international prefix; None: they are unusable.
    """
    text = text.strip()
    if "@" in text:
        # An encoded word (RFC 2047) in an address would be decoded into another recipient, or another line.
        is_address = _ADDRESS.fullmatch(text) and "=?" not in text and len(text) <= LONGEST_ADDRESS
        return Mailbox(text) if is_address else None
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return Phone(phonenumbers.format_number(number, PhoneNumberFormat.E164))
