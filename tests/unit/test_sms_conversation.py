"""The conversation with a phone, as tables: what people write, what is done, and what they read."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sms.gsm7 import segments
from gateway.sms.phrases import ENGLISH, LANGUAGES
from gateway.sms.steps import Book, Drop, Hold, Move, Read
from tests.unit.sms_phone import NINE, Phone, quarters

OFFERS = "Free times:\n1 Tue 4 Dec 09:00\n2 Tue 4 Dec 09:15\n3 Tue 4 Dec 09:30\n4 Tue 4 Dec 09:45\n"


@pytest.mark.parametrize(
    "text", ["hi", "", "   ", "!!", "👋", "book", "1", "OK", "Ada", "y" * 1600, "YES", "CANCEL"]
)
def test_any_first_text_gets_free_times(text: str) -> None:
    """A person who does not know how it works gets numbered times of the site's clock."""
    phone = Phone()
    assert phone.text(text) == OFFERS + ENGLISH.choose
    assert not [command for command in phone.commands if isinstance(command, Book | Drop | Move | Hold)]


@pytest.mark.parametrize("text", ["2", "  2 ", "2.", "#2", "2!", "no 2", "2 please", "2️⃣", "２", "2 👍"])
def test_number_holds_its_time_and_repeats_it_in_words(text: str) -> None:
    """The person reads the whole date, the doctor and the minutes that are left."""
    phone = Phone()
    assert phone.text("hi", text) == (
        "Held 5 min for you: Tuesday 4 December 2029 at 09:15, Dr Lee. "
        "Reply OK or your name to book it, or another number."
    )
    assert phone.held == NINE + timedelta(minutes=15)
    assert not phone.booked


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("OK", None),
        ("ok!", None),
        (" Ok. ", None),
        ("ok 👍", None),
        ("okay thanks", None),
        ("Ada Lovelace", "Ada Lovelace"),
        ("ok, Ada Lovelace", "Ada Lovelace"),
        ("Zoë O'Neil-Šimić", "Zoë O'Neil-Šimić"),
        ("李雷", "李雷"),
    ],
)
def test_ok_or_a_name_books_what_is_held(text: str, name: str | None) -> None:
    """The reply has the reference; the name goes with the booking, and not into the state or the reply."""
    phone = Phone()
    reply = phone.text("hi", "2", text)
    assert reply == (
        "Booked: Tuesday 4 December 2029 at 09:15, Dr Lee. Reference 00000000. "
        "Text LIST to see, move or drop it."
    )
    assert phone.names == [name]
    assert not name or name not in phone.state.model_dump_json()


def test_service_is_named_beside_the_doctor() -> None:
    """The person reads what is held and booked, if the site has services."""
    phone = Phone(service="Check-up")
    assert phone.text("hi", "1").startswith(
        "Held 5 min for you: Tuesday 4 December 2029 at 09:00, Check-up, Dr Lee. Reply OK"
    )
    assert phone.text("ok").startswith("Booked: Tuesday 4 December 2029 at 09:00, Check-up, Dr Lee. Ref")
    assert phone.text("ok").startswith("Already booked: Tuesday 4 December 2029 at 09:00, Check-up, Dr Lee.")


@pytest.mark.parametrize(
    ("service", "title", "named"),
    [
        ("Vorsorge", "Dr Ottilie Lee", " Uhr, Vorsorge, Dr Ottilie Lee. "),
        ("Preventive check of teeth", "Dr Ottilie van Lee", " Uhr, Preventive check, Dr Ottilie van Le. "),
        ("Kontrola zębów", "Dr Lee", " Uhr, Dr Lee. "),
        ("Check-up", "Dr Łukasz", " Uhr, Check-up. "),
    ],
)
def test_titles_are_cut_until_one_segment_has_room(service: str, title: str, named: str) -> None:
    """Both are cut alike; a title with other letters than GSM-7 is left out beside one without."""
    reply = Phone("de", service=service, title=title).text("hi", "1")
    assert named in reply
    assert segments(reply) == 1


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "STOP",
        "cancel",
        "no idea",
        "what?",
        "hi there",
        "?",
        "",
        "x" * 1600,
        "call me at 5",
        "5",
        "0",
        "DROP",
        "👍",
    ],
)
def test_other_texts_book_nothing_and_keep_the_hold(text: str) -> None:
    """A person who answers something else is asked again; what is held stays held."""
    phone = Phone()
    reply = phone.text("hi", "2", text)
    assert not phone.booked
    assert phone.held
    assert reply
    assert phone.text("OK").startswith("Booked: ")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("text", ["no", "No thanks!", "nope", "No, thank you."])
def test_no_gives_up_what_is_held(language: str, text: str) -> None:
    """The reply says that nothing is booked, and a later OK books nothing."""
    phone = Phone(language)
    reply = phone.text("hi", "1", text)
    assert reply.startswith({"en": "Not booked: Tuesday 4", "de": "Nicht gebucht: Dienstag, 4"}[language])
    assert phone.held is None
    phone.text("OK")
    assert not phone.booked


@pytest.mark.parametrize("text", ["nein", "Nein, danke", "nö", "doch nicht", "Nee vielen Dank"])
def test_nein_gives_up_what_is_held(text: str) -> None:
    """A German number understands German refusals."""
    phone = Phone("de")
    assert phone.text("hi", "1", text).startswith("Nicht gebucht: ")
    assert phone.held is None


def test_no_without_a_held_time_is_like_any_text() -> None:
    """There is nothing to give up."""
    assert Phone().text("no").startswith("Free times:")
    assert Phone().text("hi", "no") == ENGLISH.help


def test_second_ok_repeats_the_confirmation() -> None:
    """OK after a booking or a move books nothing more, and offers nothing that a stray number could hold."""
    phone = Phone()
    booked = "Already booked: Tuesday 4 December 2029 at 09:00, Dr Lee. Reference 00000000. "
    assert phone.text("hi", "1", "OK", "OK", "ok!").startswith(booked)
    assert phone.text("1").startswith("Free times:")
    assert phone.state.held is None
    assert phone.text("MOVE", "2", "OK").startswith(
        "Already booked: Tuesday 4 December 2029 at 09:30, Dr Lee."
    )
    assert len(phone.booked) == 1


def test_second_ok_after_the_appointment_was_dropped_confirms_nothing() -> None:
    """The confirmation is of the appointment as the calendar has it, and keeps the other ones."""
    phone = Phone()
    phone.book("2")
    last = phone.state.done
    phone.booked[last] = phone.booked[last].model_copy(update={"status": "cancelled"})
    assert phone.text("OK") == ENGLISH.gone
    assert len(phone.state.own) == 1


def test_booking_of_unknown_outcome_is_settled_before_anything_else() -> None:
    """A phone whose OK got no answer is not told that its own time is taken, and books no second one."""
    phone = Phone(is_lost=True)
    phone.text("hi", "1")
    with pytest.raises(TimeoutError):
        phone.text("OK")
    for text in ("1", "2", "more", "list", "hi?", "mon"):
        assert phone.text(text) == ENGLISH.settle
    assert phone.text("OK").startswith("Booked: Tuesday 4 December 2029 at 09:00, Dr Lee.")
    assert len(phone.booked) == 1
    assert phone.text("LIST").startswith("Your appointments:")


def test_another_number_changes_the_choice() -> None:
    """The first time is given up once the second one is held."""
    phone = Phone()
    assert "09:30" in phone.text("hi", "1", "3")
    assert [
        (each.offer.slot, each.release and each.release.slot)
        for each in phone.commands
        if isinstance(each, Hold)
    ] == [
        (NINE, None),
        (NINE + timedelta(minutes=30), NINE),
    ]
    assert "09:30" in phone.text("OK")


def test_slot_that_is_taken_meanwhile_brings_the_next_ones() -> None:
    """A rival takes the time between the list and the number, or between the number and OK."""
    phone = Phone()
    phone.text("hi")
    phone.free.remove(NINE)
    reply = phone.text("1")
    assert reply.startswith("Sorry, just taken. Free next:\n1 Tue 4 Dec 09:15\n")
    phone.text("1")
    phone.free.remove(NINE + timedelta(minutes=15))
    assert phone.text("Ada").startswith("Sorry, just taken. Free next:\n1 Tue 4 Dec 09:30\n")
    assert not phone.booked


WEDNESDAY = NINE + timedelta(days=1)


def test_lost_race_keeps_the_wanted_day() -> None:
    """The next times are those from the list on whose time was lost, before and after it was held."""
    phone = Phone(free=[*quarters(NINE), *quarters(WEDNESDAY)])
    assert phone.text("wed").startswith("Free times:\n1 Wed 5 Dec 09:00\n")
    phone.free.remove(WEDNESDAY)
    assert phone.text("1").startswith("Sorry, just taken. Free next:\n1 Wed 5 Dec 09:15\n")
    phone.text("1", "LIST")
    phone.free.remove(WEDNESDAY + timedelta(minutes=15))
    assert phone.text("OK").startswith("Sorry, just taken. Free next:\n1 Wed 5 Dec 09:30\n")


def test_lost_race_of_a_move_goes_on_with_the_move() -> None:
    """The next times are of the wanted day, and move the same appointment."""
    phone = Phone(free=[*quarters(NINE), *quarters(WEDNESDAY)])
    phone.book()
    phone.text("MOVE 1", "wed")
    phone.free.remove(WEDNESDAY)
    assert phone.text("1").startswith("Sorry, just taken. Free next:\n1 Wed 5 Dec 09:15\n")
    assert phone.text("1").startswith("Moved to Wednesday 5 December 2029 at 09:15, Dr Lee.")
    assert len(phone.booked) == 1


def test_more_shows_later_times() -> None:
    """MORE goes on after the last time, until there is none."""
    phone = Phone()
    assert phone.text("hi", "more").startswith("Free times:\n1 Tue 4 Dec 10:00\n")
    assert phone.text("more").startswith("Free times:\n1 Tue 4 Dec 11:00\n")
    assert phone.text("more") == ENGLISH.none


@pytest.mark.parametrize("text", ["tue", "Tuesday", "12/4", "4.12.", "2029-12-04", "tomorrow", "12/4/29"])
def test_day_shows_its_times(text: str) -> None:
    """A day is a weekday, or a date as people write it in the language of the number."""
    assert Phone().text(text) == OFFERS + ENGLISH.choose


@pytest.mark.parametrize(
    ("language", "text", "first"),
    [
        ("en", "wed 9:30", "Wed 5 Dec 09:30"),
        ("en", "wednesday 10am", "Wed 5 Dec 10:00"),
        ("en", "Wed at 9.45 AM, please", "Wed 5 Dec 09:45"),
        ("en", "I want to come on wednesday at 10 am", "Wed 5 Dec 10:00"),
        ("en", "10:15 on Wednesday?", "Wed 5 Dec 10:15"),
        ("en", "next wed", "Wed 5 Dec 09:00"),
        ("en", "12/5 10:00", "Wed 5 Dec 10:00"),
        ("en", "have you something on 12/5 after 10:00?", "Wed 5 Dec 10:00"),
        ("en", "tomorrow 9:45", "Tue 4 Dec 09:45"),
        ("en", "can I come tomorrow?", "Tue 4 Dec 09:00"),
        ("en", "today 3pm", "Tue 4 Dec 09:00"),
        ("de", "Mittwoch 10 Uhr", "Mi 5.12. 10:00"),
        ("de", "mi um 9:30", "Mi 5.12. 09:30"),
        ("de", "am Mittwoch", "Mi 5.12. 09:00"),
        ("de", "Ich möchte am Mittwoch um 9.45 Uhr kommen", "Mi 5.12. 09:45"),
        ("de", "5.12. ab 10h", "Mi 5.12. 10:00"),
        ("de", "Kann ich am 5.12. kommen?", "Mi 5.12. 09:00"),
        ("de", "Guten Morgen, geht es am Mittwoch?", "Mi 5.12. 09:00"),
        ("de", "Guten Morgen", "Di 4.12. 09:00"),
        ("de", "so eine Frage", "Di 4.12. 09:00"),
    ],
)
def test_day_and_time_are_found_in_a_longer_text(language: str, text: str, first: str) -> None:
    """The list begins at the wanted day, and at the wanted time if the text has one."""
    phone = Phone(language, free=[*quarters(NINE), *quarters(WEDNESDAY)])
    assert phone.text(text).splitlines()[1] == f"1 {first}"
    assert phone.held is None


def test_time_after_the_last_free_one_of_a_day_is_named() -> None:
    """The day has free times, but none from the wanted one on."""
    phone = Phone(free=[*quarters(NINE), *quarters(WEDNESDAY)])
    assert phone.text("tue 15:00").startswith("Nothing free Tue 4 Dec 15:00. Next:\n1 Wed 5 Dec 09:00\n")


@pytest.mark.parametrize(
    "text", ["not on wednesday", "I can’t on Wednesday", "I was born on 12/5/1980", "99:99 or so"]
)
def test_day_that_is_not_wanted_is_not_offered(text: str) -> None:
    """A sentence that refuses a day is like any text."""
    phone = Phone(free=[*quarters(NINE), *quarters(WEDNESDAY)])
    assert phone.text(text).splitlines()[1] == "1 Tue 4 Dec 09:00"


@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("de", "Anna Freitag"),
        ("de", "Mo Salah"),
        ("de", "Um Ki-joon"),
        ("en", "Ok Joe Friday"),
        ("en", "Sun Li"),
    ],
)
def test_name_with_a_day_is_a_name(language: str, name: str) -> None:
    """It books what is held."""
    phone = Phone(language)
    phone.text("hi", "1", name)
    assert phone.names == [name.removeprefix("Ok ")]


def test_sentence_about_the_held_day_keeps_the_hold() -> None:
    """A sentence about another day, or the day alone, asks for times and gives up the hold."""
    phone = Phone(free=[*quarters(NINE), *quarters(WEDNESDAY)])
    assert phone.text("hi", "1", "I come on tuesday then").startswith("Held for you: ")
    assert phone.state.held
    assert "1 Tue 4 Dec 09:00" in phone.text("tue")
    assert "1 Wed 5 Dec 09:00" in phone.text("1", "can I come on wednesday")
    assert phone.state.held is None


def test_full_day_shows_the_next_times() -> None:
    """A day without a free time is named, with the times after it."""
    assert Phone().text("today").startswith("Nothing free Mon 3 Dec. Next:\n1 Tue 4 Dec 09:00\n")
    assert Phone().text("12/24") == ENGLISH.none


def test_number_that_is_not_in_the_list_gets_help() -> None:
    """A wrong number holds nothing."""
    phone = Phone()
    assert phone.text("hi", "7") == ENGLISH.help
    assert not phone.held


def test_old_list_is_no_list() -> None:
    """A number that comes an hour after its list holds nothing: the person gets a new list."""
    phone = Phone()
    phone.text("hi")
    phone.now += timedelta(hours=1)
    assert phone.text("1").startswith("Free times:")
    assert not phone.held


def test_list_numbers_the_own_appointments() -> None:
    """LIST shows what this phone booked and did not drop, by time."""
    phone = Phone()
    assert phone.text("LIST") == ENGLISH.none_listed
    phone.book("2")
    assert phone.text("list").splitlines() == [
        "Your appointments:",
        "1 Tue 4 Dec 09:00",
        "2 Tue 4 Dec 09:30",
        ENGLISH.list_tail,
    ]


@pytest.mark.parametrize("text", ["DROP 1", "drop1", "Drop 1.", " drop  1 ", "DROP"])
def test_drop_cancels_the_own_appointment(text: str) -> None:
    """The only appointment needs no list."""
    phone = Phone()
    phone.book()
    assert phone.text(text).startswith("Dropped: Tuesday 4 December 2029 at 09:00.")
    assert [one.status for one in phone.booked.values()] == ["cancelled"]


def test_second_drop_1_drops_no_other_appointment() -> None:
    """A number counts in the list that the person has seen, and not in what is left of it."""
    phone = Phone()
    phone.book("2")
    assert phone.text("LIST", "DROP 1").startswith("Dropped")
    assert phone.text("DROP 1") == ENGLISH.gone
    assert sorted(one.status for one in phone.booked.values()) == ["booked", "cancelled"]


def test_drop_without_a_list_shows_several_first() -> None:
    """With two appointments, DROP 1 is not guessed."""
    phone = Phone()
    phone.book("2")
    assert phone.text("DROP 1").startswith("Your appointments:")
    assert phone.text("DROP").startswith("Your appointments:")
    assert phone.text("DROP 3").startswith("Your appointments:")
    assert phone.text("DROP 2").startswith("Dropped: Tuesday 4 December 2029 at 09:30.")


def test_move_offers_times_and_moves() -> None:
    """MOVE 1 and a number move the appointment; nothing is held or booked for it."""
    phone = Phone()
    phone.book()
    phone.commands.clear()
    assert phone.text("MOVE 1").startswith("New time:\n1 Tue 4 Dec 09:15\n")
    assert phone.text("more").startswith("New time:\n1 Tue 4 Dec 10:15\n")
    assert phone.text("2").startswith("Moved to Tuesday 4 December 2029 at 10:30, Dr Lee.")
    assert not [each for each in phone.commands if isinstance(each, Book | Hold)]
    assert len(phone.booked) == 1


def test_change_after_the_cut_off_is_refused_kindly() -> None:
    """DROP and MOVE past `cutOffMinutes` change nothing, also if a MOVE began before it."""
    phone = Phone(cut_off=60)
    phone.book()
    phone.now = NINE - timedelta(minutes=70)
    phone.text("MOVE 1")
    phone.now = NINE - timedelta(minutes=59)
    assert phone.text("1") == ENGLISH.call
    for text in ("DROP 1", "MOVE 1"):
        assert phone.text(text) == (
            "It is too late to change Tuesday 4 December 2029 at 09:00 by text. Please call us."
        )
    assert not [each for each in phone.commands if isinstance(each, Drop | Move)]


def test_phone_changes_what_it_booked_and_nothing_else() -> None:
    """Another phone's appointments are in no list, and no text names an appointment."""
    one, other = Phone(), Phone()
    one.book()
    other.booked = one.booked
    assert other.text("LIST") == ENGLISH.none_listed
    assert other.text("DROP 1") == ENGLISH.none_listed
    other.text("DROP 00000000")
    assert not [command for command in other.commands if isinstance(command, Read | Drop)]
    assert [each.status for each in one.booked.values()] == ["booked"]


def test_german_conversation() -> None:
    """A German number speaks German, and takes German words beside the others."""
    phone = Phone("de")
    assert phone.text("Hallo").startswith("Freie Termine:\n1 Di 4.12. 09:00\n")
    assert phone.text("di").startswith("Freie Termine:\n1 Di 4.12. 09:00\n")
    assert phone.text("24.12.") == phone._facts().phrases.none
    phone.text("hi", "1")
    assert phone.text("Jürgen Groß").startswith("Gebucht: Dienstag, 4. Dezember 2029 um 09:00 Uhr, Dr Lee.")
    assert phone.text("LISTE").startswith("Ihre Termine:\n1 Di 4.12. 09:00\n")
    assert phone.text("Umbuchen 1").startswith("Neue Zeit:\n")
    assert phone.text("1").startswith("Umgebucht auf Dienstag, 4. Dezember 2029 um 09:15 Uhr")
    assert phone.text("Absage 1").startswith("Abgesagt: ")


@pytest.mark.parametrize(
    "text",
    [
        "verschieben 1",
        "Verschieben",
        "verschiebe 1",
        "verlegen 1",
        "umbuchen 1",
        "ändern 1",
        "Ändere 1",
        "aendern 1",
        "1 verschieben",
        "Termin verschieben",
        "bitte Termin 1 verlegen",
        "Meinen Termin ändern!",
        "Move 1",
        "CHANGE 1",
        "reschedule",
        "change my appointment please",
        "Reschedule appointment no. 1",
    ],
)
def test_words_for_moving_move_the_own_appointment(text: str) -> None:
    """A time that is chosen after such a word, also of another day, makes no second appointment."""
    phone = Phone("de")
    phone.book()
    assert phone.text(text).startswith("Neue Zeit:\n")
    assert phone.text("di").startswith("Neue Zeit:\n")
    assert phone.text("1").startswith("Umgebucht auf ")
    phone.text("ok")
    assert len(phone.booked) == 1
    assert phone.text(text).startswith("Neue Zeit:\n")


@pytest.mark.parametrize(
    "text",
    [
        "absagen 1",
        "Absage 1",
        "löschen 1",
        "lösche",
        "loeschen 1",
        "stornieren 1",
        "storniere 1",
        "streichen 1",
        "streiche den Termin",
        "Termin absagen",
        "1 stornieren",
        "delete 1",
        "Remove my booking",
        "drop the appointment",
    ],
)
def test_words_for_dropping_drop_the_own_appointment(text: str) -> None:
    """The words of the buttons of the web page are among them."""
    phone = Phone("de")
    phone.book()
    assert phone.text(text).startswith("Abgesagt: ")
    assert [one.status for one in phone.booked.values()] == ["cancelled"]


@pytest.mark.parametrize(
    "text",
    [
        "verschieben auf Freitag",
        "absagen oder verschieben",
        "Ich möchte meinen Termin verschieben",
        "nicht absagen",
        "drop 1?",
        "do not drop 1",
        "move 1 2",
        "change it to friday",
        "löschen Sie meine Daten",
        "remove 100",
        "no drop",
        "No, drop 1",
        "can I change my appointment?",
        "verschieben " + "x" * 400,
    ],
)
def test_change_that_is_not_understood_shows_the_own_appointments(text: str) -> None:
    """Nothing is changed, and no new time is offered, also to a phone without an appointment."""
    phone = Phone("de")
    assert phone.text(text) == phone._facts().phrases.none_listed
    phone.book()
    assert phone.text(text).startswith("Ihre Termine:\n1 Di 4.12. 09:00\n")
    assert not [command for command in phone.commands if isinstance(command, Drop | Move)]
    phone.text("1", "ok")
    assert [one.status for one in phone.booked.values()] == ["booked"]


@pytest.mark.parametrize("text", ["CANCEL 1", "stop 1", "end 1", "quit my appointment"])
def test_words_of_carriers_drop_nothing(text: str) -> None:
    """A carrier may block the number for them."""
    phone = Phone()
    phone.book()
    phone.text(text)
    assert [one.status for one in phone.booked.values()] == ["booked"]


def test_hour_that_comes_twice_has_its_offset() -> None:
    """On the day on which clocks go back, the words tell the two hours apart."""
    phone = Phone(now=NINE - timedelta(days=40))
    first = phone.now.replace(month=10, day=28, hour=0, minute=30)
    phone.now, phone.free = first - timedelta(days=1), [first, first + timedelta(hours=1)]
    assert "02:30 (UTC+0200)" in phone.text("hi", "1")
    assert "02:30 (UTC+0100)" in phone.text("2")


@pytest.mark.parametrize("service", [None, "Check-up", "Ö" * 64])
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reply_fits_one_segment(language: str, service: str | None) -> None:
    """The longest dates, a far year and a long title stay within 160 characters of GSM-7."""
    phrases = LANGUAGES[language]
    longest_day = max(range(7), key=lambda n: len(phrases.days[n]))
    longest_month = max(range(12), key=lambda n: len(phrases.months[n])) + 1
    slot = NINE.replace(year=2031, month=longest_month, day=20)
    while slot.weekday() != longest_day:
        slot += timedelta(days=1)
    phone = Phone(language, title="Ü" * 64, service=service, cut_off=10**7)
    phone.free = quarters(slot)
    replies = [phone.text("x"), phone.text("1"), phone.text("?!?"), phone.text("ok"), phone.text("LIST")]
    replies += [phone.text("ok"), phone.text("x", "1", "no")]
    replies += [phone.text("DROP 1")]
    for _ in range(3):
        phone.text("LIST", "x", "1", "ok")
    replies += [phone.text("LIST"), phone.text("HELP")]
    phone.cut_off = 0
    replies += [
        phone.text("MOVE 1"),
        phone.text("more"),
        phone.text("1"),
        phone.text("LIST"),
        phone.text("DROP 1"),
    ]
    phone.text("x")
    phone.free.clear()
    replies += [phone.text("1"), phone.text("more"), phone.text("DROP 1")]
    phone.free = quarters(slot)
    phone.text("x")
    del phone.free[0]
    replies += [phone.text("1"), phone.text("today")]
    replies += [
        phrases.retry,
        phrases.call,
        phrases.too_many,
        phrases.none,
        phrases.none_listed,
        phrases.gone,
    ]
    assert [(segments(reply), reply) for reply in replies if segments(reply) > 1] == []


def test_control_template_that_is_too_long_is_found() -> None:
    """Control: a reply with one more sentence is counted as two segments."""
    phone = Phone(title="Ü" * 64)
    assert segments(phone.text("x", "1") + " Please answer within the time that is left.") == 2


texts = st.one_of(
    st.text(max_size=200),
    st.sampled_from(
        [
            "1",
            "2",
            "9",
            "ok",
            "Ada",
            "more",
            "list",
            "drop 1",
            "move 1",
            "mon",
            "12/24",
            "stop",
            "help",
            "löschen 1",
            "verschieben 1",
            "move it",
            "no thanks",
            "fri 15:00",
            "I come on friday",
        ]
    ),
)


@given(st.lists(texts, max_size=12), st.sampled_from(sorted(LANGUAGES)))
def test_any_texts_get_short_replies_and_do_only_what_they_say(sent: list[str], language: str) -> None:
    """Whatever a phone sends, it reads one segment, and a write needs a text that asks for it."""
    phone = Phone(language)
    for text in sent:
        before = len(phone.commands)
        was_held = phone.state.held is not None
        reply = phone.text(text)
        assert reply
        assert segments(reply) == 1
        for command in phone.commands[before:]:
            plain = text.casefold()
            if isinstance(command, Book):
                assert was_held
                assert (
                    command.name is None
                    or command.name.casefold() in plain.replace("ß", "ss")
                    or command.name
                )
            elif isinstance(command, Drop):
                assert any(word in plain for word in ("drop", "absage", "lösche"))
                assert command.own.id in phone.booked
            elif isinstance(command, Move | Hold):
                assert any(character.isdecimal() or character.isnumeric() for character in text)
        assert len(phone.commands) - before <= 3


def test_read_is_asked_for_own_appointments_only() -> None:
    """The ids that are read come from the phone's own record."""
    phone = Phone()
    phone.book()
    phone.commands.clear()
    phone.text("LIST")
    assert [command.own for command in phone.commands if isinstance(command, Read)] == [phone.state.own]
