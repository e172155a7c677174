"""What messages say, in each language. They have no name: a phone may show them to others."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.notify.notices import Kind
from gateway.sms import phrases
from gateway.sms.gsm7 import is_gsm7, segments
from gateway.sms.phrases import Phrases

SHORTEST_TITLE = 3


@dataclass(frozen=True)
class Texts:
    """A language. `subjects` and `texts` have the fields `what` and `when`."""

    phrases: Phrases
    subjects: Mapping[Kind, str]
    texts: Mapping[Kind, str]
    link: str

    def subject(self, kind: Kind, what: str, local: datetime) -> str:
        return self.subjects[kind].format(what=what, when=self._when(local))

    def mail(self, kind: Kind, what: str, local: datetime, link: str | None) -> str:
        """Return the text of an e-mail; `link` is where its reader changes the appointment."""
        text = self.texts[kind].format(what=what, when=self._when(local))
        has_link = link is not None and kind is not Kind.CANCELLED
        return f"{text}\n\n{self.link}\n{link}\n" if has_link else f"{text}\n"

    def sms(self, kind: Kind, what: str, local: datetime) -> str:
        """Return a text message of one segment.

        Letters outside of the alphabet GSM-7 lose their accents if that helps, and a long title is cut. Only
        the fixed words may be longer than a segment of another alphabet.
        """
        plain = _without_accents(what)
        title = plain if not is_gsm7(what) and is_gsm7(plain) else what
        while True:
            text = self.texts[kind].format(what=title, when=self._when(local))
            if segments(text) == 1 or len(title) <= SHORTEST_TITLE:
                return text
            title = title[:-1].rstrip(" ,.")

    def _when(self, local: datetime) -> str:
        """Return a time in full words, with UTC if nothing says in which zone the booking is."""
        return self.phrases.full_time(local) + (" UTC" if local.tzname() == "UTC" else "")


ENGLISH = Texts(
    phrases=phrases.ENGLISH,
    subjects={
        Kind.BOOKED: "Booked: {what}, {when}",
        Kind.MOVED: "Moved: {what}, now {when}",
        Kind.CANCELLED: "Cancelled: {what}, {when}",
        Kind.DAY: "Reminder: {what}, {when}",
        Kind.HOURS: "Reminder: {what}, {when}",
    },
    texts={
        Kind.BOOKED: "Your appointment is booked: {what}, {when}.",
        Kind.MOVED: "Your appointment was moved: {what}, now {when}.",
        Kind.CANCELLED: "Your appointment was cancelled: {what}, {when}.",
        Kind.DAY: "Reminder of your appointment: {what}, {when}.",
        Kind.HOURS: "Reminder of your appointment: {what}, {when}.",
    },
    link="See, move or cancel it here:",
)
GERMAN = Texts(
    phrases=phrases.GERMAN,
    subjects={
        Kind.BOOKED: "Gebucht: {what}, {when}",
        Kind.MOVED: "Verlegt: {what}, jetzt {when}",
        Kind.CANCELLED: "Abgesagt: {what}, {when}",
        Kind.DAY: "Erinnerung: {what}, {when}",
        Kind.HOURS: "Erinnerung: {what}, {when}",
    },
    texts={
        Kind.BOOKED: "Ihr Termin ist gebucht: {what}, {when}.",
        Kind.MOVED: "Ihr Termin wurde verlegt: {what}, jetzt {when}.",
        Kind.CANCELLED: "Ihr Termin wurde abgesagt: {what}, {when}.",
        Kind.DAY: "Erinnerung an Ihren Termin: {what}, {when}.",
        Kind.HOURS: "Erinnerung an Ihren Termin: {what}, {when}.",
    },
    link="Ansehen, verlegen oder absagen:",
)
LANGUAGES = {each.phrases.code: each for each in (ENGLISH, GERMAN)}


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(character for character in decomposed if not unicodedata.combining(character))
