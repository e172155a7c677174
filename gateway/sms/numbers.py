"""Phone numbers of patients. No log line, key or error contains one: what is stored is an HMAC."""

import hmac
from hashlib import sha256

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat


def read_number(text: str) -> str:
    """Return an international phone number in E.164: "+49 40 5550100" is "+49405550100".

    Raises:
        ValueError: it is none; the sentence does not contain it.
    """
    try:
        number = phonenumbers.parse(text)
    except NumberParseException:
        raise ValueError("must be an international phone number such as +49405550100") from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError("must be a possible phone number such as +49405550100")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


class NumberDigests:
    """Makes HMACs of phone numbers. Everything that is stored about a number stands under its HMAC.

    Args:
        secret: `SMS_SECRET`, the same in all gateways and processes of `gateway.notify`, for ever: with
            another one every opt-out is forgotten.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def of(self, number: str) -> str:
        """Return the key of a number in E.164, in the buckets of JetStream."""
        return self.derive(number).hex()

    def derive(self, *parts: str) -> bytes:
        """Return 32 bytes that belong to a number and, for example, to a slot."""
        return hmac.digest(self._secret, "\n".join(parts).encode(), sha256)
