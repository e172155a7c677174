"""Our phone numbers: the site, the language and the service of each (`SMS_NUMBERS`)."""

from dataclasses import dataclass

from gateway.sms.numbers import read_number
from gateway.sms.phrases import LANGUAGES, Phrases
from shared.contract.fields import is_site
from shared.process.settings import Misconfigured

EXAMPLE = "SMS_NUMBERS: must be such as +4940555010=harbour:de,+15551234567=downtown:en:check-up"


@dataclass(frozen=True)
class Line:
    """One of our numbers. `service`: what is booked there; None: the first service of the site."""

    number: str
    site: str
    phrases: Phrases
    service: str | None = None


def read_lines(text: str) -> dict[str, Line]:
    """Return the lines in `SMS_NUMBERS`, by number.

    Raises:
        Misconfigured: the text is wrong, or names a number twice.
    """
    lines: dict[str, Line] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        number_text, _, served = (part.strip() for part in entry.partition("="))
        site, language, *service = served.split(":")[:3] if served.count(":") in (1, 2) else ("", "")
        try:
            number = read_number(number_text)
        except ValueError:
            raise Misconfigured(EXAMPLE) from None
        if not is_site(site) or language not in LANGUAGES or service == [""] or number in lines:
            raise Misconfigured(EXAMPLE)
        lines[number] = Line(number, site, LANGUAGES[language], service[0] if service else None)
    return lines
