"""Count the segments of a text message: 160 characters of the alphabet GSM-7, or 70 of UCS-2.

https://www.twilio.com/docs/glossary/what-sms-character-limit
"""

# https://www.etsi.org/deliver/etsi_ts/123000_123099/123038/ section 6.2.1
BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = frozenset("^{}\\[~]|€\f")
"""Each takes two places."""
ONE, EACH_OF_MANY = 160, 153
ONE_UCS2, EACH_OF_MANY_UCS2 = 70, 67


def is_gsm7(text: str) -> bool:
    """Return whether all characters of a text are in the alphabet."""
    return set(text) <= BASIC | EXTENDED


def segments(text: str) -> int:
    """Return how many segments a text takes."""
    if is_gsm7(text):
        length, one, each = len(text) + sum(map(text.count, EXTENDED)), ONE, EACH_OF_MANY
    else:
        length, one, each = len(text.encode("utf-16-be")) // 2, ONE_UCS2, EACH_OF_MANY_UCS2
    return 1 if length <= one else -(-length // each)
