"""What messages to patients say, and to whom they can go."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.notify.contacts import Mailbox, Phone, read_contact
from gateway.notify.notices import Kind
from gateway.notify.per_site import PerSite
from gateway.notify.quiet import QuietHours
from gateway.notify.texts import ENGLISH, GERMAN, LANGUAGES, Texts
from gateway.sms.gsm7 import is_gsm7, segments

BERLIN = ZoneInfo("Europe/Berlin")
SLOT = datetime(2030, 9, 25, 10, tzinfo=BERLIN)  # the longest words: Wednesday, September
NIGHT = QuietHours.parse("21:00-08:00")
LATIN = st.text(st.characters(min_codepoint=32, max_codepoint=0x17F, exclude_categories=["Cc"]), min_size=1)


@pytest.mark.parametrize("texts", LANGUAGES.values(), ids=LANGUAGES)
@given(kind=st.sampled_from(Kind), title=LATIN)
def test_text_message_takes_one_segment_of_gsm7(texts: Texts, kind: Kind, title: str) -> None:
    """A long title is cut, and a letter outside the alphabet loses its accent where that is enough."""
    text = texts.sms(kind, title, SLOT)
    assert segments(text) == 1 or not is_gsm7(text)
    assert texts.phrases.full_time(SLOT) in text


def test_letters_of_the_alphabet_stay() -> None:
    """German umlauts are letters of GSM-7; a Polish title is written without its accents."""
    assert "Dr. Köhler" in GERMAN.sms(Kind.BOOKED, "Dr. Köhler", SLOT)
    assert "Dr Zajac" in ENGLISH.sms(Kind.BOOKED, "Dr Zając", SLOT)


def test_text_says_the_wall_clock_of_the_zone() -> None:
    """English and German differ in their words; a booking without a zone is told in UTC."""
    assert ENGLISH.sms(Kind.DAY, "Dr Lee", SLOT) == (
        "Reminder of your appointment: Dr Lee, Wednesday 25 September 2030 at 10:00."
    )
    assert "Mittwoch" in GERMAN.sms(Kind.DAY, "Dr Lee", SLOT)
    assert "08:00 UTC" in ENGLISH.sms(Kind.DAY, "Dr Lee", SLOT.astimezone(ZoneInfo("UTC")))


def test_hour_that_comes_twice_is_told_with_its_offset() -> None:
    """On the night on which the clocks go back, 02:30 alone would be two instants."""
    first, second = (datetime(2030, 10, 27, 2, 30, tzinfo=BERLIN, fold=fold) for fold in (0, 1))
    assert ENGLISH.sms(Kind.BOOKED, "Dr Lee", first) != ENGLISH.sms(Kind.BOOKED, "Dr Lee", second)


def test_mail_of_a_cancel_has_no_link() -> None:
    """There is nothing left to change."""
    link = "https://clinic.example/appointments/1#ml_a"
    assert link in ENGLISH.mail(Kind.MOVED, "Dr Lee", SLOT, link)
    assert link not in ENGLISH.mail(Kind.CANCELLED, "Dr Lee", SLOT, link)


@pytest.mark.parametrize(
    ("contact", "region", "found"),
    [
        ("+49 40 5550100", None, Phone("+49405550100")),
        ("040 5550100", "DE", Phone("+49405550100")),
        ("040 5550100", None, None),
        ("(555) 010-0199", "US", Phone("+15550100199")),
        ("ada@example.org", None, Mailbox("ada@example.org")),
        (" ada.l+x@mail.example.org ", None, Mailbox("ada.l+x@mail.example.org")),
        ("ada@localhost", None, None),
        ("ada@example.org, eve@example.org", None, None),
        ("Ada <ada@example.org>", None, None),
        ("ada@example.org\nBcc: eve@example.org", None, None),
        ("=?utf-8?q?eve=40example.org=2C?=@example.org", None, None),
        ("=?utf-8?q?=ff=0d=0aBcc=3a_eve?=@example.org", None, None),
        ("call my mother", "DE", None),
        ("+49 1", None, None),
        ("@", None, None),
    ],
)
def test_contact_is_a_number_an_address_or_nothing(
    contact: str, region: str | None, found: Phone | Mailbox | None
) -> None:
    """Only one recipient can be reached, by a number with a country or by an address alone."""
    assert read_contact(contact, region) == found


def test_contact_shows_no_number_by_accident() -> None:
    """The text of the objects, which a traceback or a log could have, is empty."""
    assert "40" not in repr(Phone("+49405550100"))
    assert "ada" not in repr(Mailbox("ada@example.org"))


@given(
    st.datetimes(datetime(2030, 1, 1), datetime(2031, 1, 1)), st.sampled_from(["21:00-08:00", "13:00-14:30"])
)
def test_quiet_hours_end_on_the_wall_clock(naive: datetime, text: str) -> None:
    """Outside of them there is no wait; inside, the end is at their last minute on that wall clock."""
    quiet, now = QuietHours.parse(text), naive.replace(tzinfo=UTC)
    end = quiet.end_after(now, BERLIN)
    assert quiet.end_after(end, BERLIN) == end
    if end == now:
        return
    assert now < end <= now + timedelta(hours=12)
    assert end.astimezone(BERLIN).time() == quiet.end


def test_quiet_hours_are_of_the_zone() -> None:
    """The same instant is night in Berlin and day in New York; equal times are never quiet."""
    now = datetime(2030, 1, 7, 20, 30, tzinfo=UTC)
    assert NIGHT.end_after(now, BERLIN) == datetime(2030, 1, 8, 7, tzinfo=UTC)
    assert NIGHT.end_after(now, ZoneInfo("America/New_York")) == now
    assert QuietHours(time(0), time(0)).end_after(now, BERLIN) == now


def test_setting_of_a_site_goes_before_the_default() -> None:
    """`en,harbour=de` is German in harbour, and English elsewhere."""
    languages = PerSite.parse("en, harbour=de")
    assert (languages.of("harbour"), languages.of("north")) == ("de", "en")
    assert languages.values == {"en", "de"}
