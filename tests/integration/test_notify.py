"""Messages to patients: each sent once, true when it is sent, by real servers. Time is passed in."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from structlog.testing import capture_logs

from gateway.notify import notifier
from gateway.notify.consumers import CONSUMER
from gateway.notify.mail import Mail, SmtpServer
from gateway.notify.notices import Notice
from gateway.notify.notifier import FIRST_RETRY, MOST_TRIES
from gateway.notify.per_site import PerSite
from gateway.notify.quiet import QuietHours
from gateway.notify.store import LEASE, NoticeStore
from shared.contract.events import STREAM
from tests.integration.desk import OUR_NUMBER, SENDER, Desk, desk_on, following
from tests.integration.mailbox import itip_in
from tests.servers import Servers
from tests.slots import fresh_site

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
_numbers = count()


@pytest.fixture(scope="module")
async def shared_desk(servers: Servers) -> AsyncIterator[Desk]:
    async with desk_on(servers) as desk:
        yield desk


@pytest.fixture
async def desk(shared_desk: Desk) -> Desk:
    """The desk with the real time, receivers that accept, and followers that have read everything."""
    shared_desk.ahead = timedelta()
    shared_desk.mail.answers, shared_desk.twilio.statuses = ["250 OK"], [201]
    return shared_desk


def address() -> str:
    return f"canary{next(_numbers)}@example.org"


def number() -> str:
    return f"+4940555{next(_numbers):04}"


def slot_in(days: float) -> datetime:
    """Return a slot of a test of its own: no other test sends messages at its reminders' times."""
    at = datetime.now(UTC) + timedelta(days=days)
    return at.replace(minute=0, second=0, microsecond=0)


async def test_changes_are_mailed_with_objects_that_replace_each_other(desk: Desk) -> None:
    """Confirmation, move and cancel have the UID of the appointment, and each a higher SEQUENCE."""
    to, site = address(), fresh_site()
    booked = await desk.book(to, slot_in(5), site=site, resources=["dr-lee"])
    await desk.send()
    await desk.move(booked, slot_in(6))
    await desk.send()
    await desk.cancel(booked)
    await desk.send()
    mails = desk.mail.to(to)

    found = [itip_in(mail) for mail in mails]
    assert [method for method, _ in found] == ["REQUEST", "REQUEST", "CANCEL"]
    events = [event for _, event in found]
    assert {event["UID"] for event in events} == {booked["id"]}
    assert [event["SEQUENCE"] for event in events] == [1, 2, 3]
    assert [event["STATUS"] for event in events] == ["CONFIRMED", "CONFIRMED", "CANCELLED"]
    assert [event.start for event in events] == [slot_in(5), slot_in(6), slot_in(6)]
    assert {event["ORGANIZER"] for event in events} == {f"mailto:{SENDER}"}
    assert {event["ATTENDEE"] for event in events} == {f"mailto:{to}"}
    assert [mail["From"] for mail in mails] == [SENDER] * 3
    assert len({mail["Message-ID"] for mail in mails}) == 3
    bodies = [part.get_content() for mail in mails for part in [mail.get_body(("plain",))] if part]
    assert [f"/appointments/{booked['id']}#ml_x" in body for body in bodies] == [True, True, False]
    assert "Zoe-canary" not in "".join(mail.as_string() for mail in mails)


async def test_text_message_goes_to_the_number_from_ours(desk: Desk) -> None:
    """A number without a prefix is of the site's country, and its text of the site's language."""
    site = fresh_site()
    await desk.book("040 5550100", slot_in(5), site=site)
    await desk.send(regions=PerSite("", {site: "DE"}), languages=PerSite("en", {site: "de"}))
    (text,) = desk.texts("+49405550100")
    assert text.startswith("Ihr Termin ist gebucht: default, ")
    sent = desk.twilio.received[-1]
    assert f"From=%2B{OUR_NUMBER[1:]}".encode() in sent.body
    assert sent.headers["authorization"].startswith("Basic ")


async def test_event_that_comes_again_sends_nothing(desk: Desk) -> None:
    """All events are read again by a new consumer: what was told is not told twice."""
    to = address()
    await desk.book(to, slot_in(5), site=fresh_site())
    await desk.send()
    await desk.connection.jetstream().delete_consumer(STREAM, CONSUMER)
    async with following(desk):
        witness = address()
        await desk.book(witness, slot_in(5), site=fresh_site())
        await desk.send()
    assert (len(desk.mail.to(to)), len(desk.mail.to(witness))) == (1, 1)


async def test_notice_of_a_process_that_died_is_sent_after_its_lease(desk: Desk) -> None:
    """While a process may still be sending, no other sends; then one does, once."""
    to = address()
    await desk.book(to, slot_in(5), site=fresh_site())
    await desk.settled()
    desk.ahead += timedelta(seconds=4)
    due, _ = await desk.store.due(desk.now())
    for pending in due:
        assert await desk.store.take(pending, desk.now())
    await desk.send()
    assert not desk.mail.to(to)
    desk.ahead += LEASE
    await desk.send()
    await desk.send()
    assert len(desk.mail.to(to)) == 1


async def test_two_processes_send_a_notice_once(desk: Desk) -> None:
    """Of processes that look at the same time, one takes a notice."""
    tos = [address() for _ in range(6)]
    for to in tos:
        await desk.book(to, slot_in(5), site=fresh_site())
    await desk.settled()
    desk.ahead += timedelta(seconds=4)
    await asyncio.gather(*(desk.notifier().send_due() for _ in range(3)))
    assert [len(desk.mail.to(to)) for to in tos] == [1] * len(tos)


async def test_reminders_are_sent_a_day_and_two_hours_before(desk: Desk) -> None:
    """Each once; not earlier, and without an object for the calendar."""
    to, slot = address(), slot_in(10)
    await desk.book(to, slot, site=fresh_site())
    await desk.send()
    for before, mails in ((DAY + HOUR, 1), (DAY - HOUR / 6, 2), (3 * HOUR, 2), (1.9 * HOUR, 3), (HOUR, 3)):
        desk.set_clock(slot - before)
        await desk.send()
        assert len(desk.mail.to(to)) == mails, before
    reminder = desk.mail.to(to)[1]
    assert reminder["Subject"].startswith("Reminder: default, ")
    assert reminder.get_content_type() == "text/plain"


async def test_reminder_of_a_moved_booking_is_at_its_new_time(desk: Desk) -> None:
    """Nothing is sent for the old slot; the reminders of the new slot name it."""
    to, old, new = address(), slot_in(15), slot_in(19)
    booked = await desk.book(to, old, site=fresh_site())
    await desk.move(booked, new)
    await desk.send()
    assert len(desk.mail.to(to)) == 1  # the confirmation of the move alone
    for at in (old - DAY, old - 2 * HOUR):
        desk.set_clock(at + timedelta(minutes=1))
        await desk.send()
    assert len(desk.mail.to(to)) == 1
    for at in (new - DAY, new - 2 * HOUR):
        desk.set_clock(at + timedelta(minutes=1))
        await desk.send()
    assert len(desk.mail.to(to)) == 3
    assert f"{new:%H:%M}" in desk.mail.to(to)[1]["Subject"]


async def test_booking_that_came_back_to_its_slot_is_reminded_once(desk: Desk) -> None:
    """Two changes lead to the same reminder, which is one notice."""
    to, slot = address(), slot_in(24)
    booked = await desk.book(to, slot, site=fresh_site())
    await desk.move(booked, slot + HOUR)
    await desk.move(booked, slot)
    await desk.send()
    desk.set_clock(slot - DAY + HOUR / 6)
    await desk.send()
    subjects = [mail["Subject"].split(":")[0] for mail in desk.mail.to(to)]
    assert subjects == ["Moved", "Reminder"]


async def test_cancelled_booking_is_not_reminded(desk: Desk) -> None:
    """The patient is told of the cancel, and then nothing."""
    to, slot = address(), slot_in(29)
    booked = await desk.book(to, slot, site=fresh_site())
    await desk.send()
    await desk.cancel(booked)
    await desk.send()
    for before in (DAY, 2 * HOUR):
        desk.set_clock(slot - before + timedelta(minutes=1))
        await desk.send()
    assert [mail["Subject"].split(":")[0] for mail in desk.mail.to(to)] == ["Booked", "Cancelled"]


async def test_late_process_sends_the_latest_reminder_alone(desk: Desk) -> None:
    """After an outage until an hour before, the reminder of the day before is not sent too."""
    to, slot = address(), slot_in(34)
    await desk.book(to, slot, site=fresh_site())
    await desk.send()
    desk.set_clock(slot - HOUR)
    await desk.send()
    assert len(desk.mail.to(to)) == 2


async def test_patient_is_not_told_what_it_has_just_done(desk: Desk) -> None:
    """Texts are answered at once, and a cancel by link shows its result; one by the practice is told."""
    by_text, by_link, by_desk = address(), address(), address()
    await desk.book(by_text, slot_in(5), caller="sms", site=fresh_site())
    for to, caller in ((by_link, "patient"), (by_desk, "b0f877814e8d")):
        booked = await desk.book(to, slot_in(5), caller=caller, site=fresh_site())
        await desk.send()
        await desk.cancel(booked, caller=caller)
    await desk.send()
    assert not desk.mail.to(by_text)
    assert [mail["Subject"].split(":")[0] for mail in desk.mail.to(by_link)] == ["Booked"]
    assert [mail["Subject"].split(":")[0] for mail in desk.mail.to(by_desk)] == ["Booked", "Cancelled"]


async def test_number_that_opted_out_gets_nothing(desk: Desk) -> None:
    """After STOP no message of any kind is sent; after START the next one is."""
    to, slot = number(), slot_in(39)
    await desk.opt_outs.add(to)
    await desk.book(to, slot, site=fresh_site())
    await desk.send()
    assert not desk.texts(to)
    await desk.opt_outs.remove(to)
    desk.set_clock(slot - DAY + HOUR / 6)
    await desk.send()
    assert len(desk.texts(to)) == 1


async def test_text_message_waits_for_the_end_of_quiet_hours(desk: Desk) -> None:
    """It is postponed and then sent once; an e-mail disturbs nobody and is sent at once."""
    to, mailed = number(), address()
    begin = desk.now().replace(microsecond=0)
    quiet = QuietHours((begin - HOUR).time(), (begin + 2 * HOUR).time())
    for contact in (to, mailed):
        await desk.book(contact, slot_in(5), site=fresh_site())
    await desk.send(quiet=quiet)
    desk.ahead += HOUR
    await desk.send(quiet=quiet)
    assert (len(desk.texts(to)), len(desk.mail.to(mailed))) == (0, 1)
    desk.ahead += HOUR
    await desk.send(quiet=quiet)
    await desk.send(quiet=quiet)
    assert len(desk.texts(to)) == 1


async def test_quiet_hours_until_the_slot_silence_reminders_alone(desk: Desk) -> None:
    """What a patient cannot know is told at night too; a reminder that would come too late is not."""
    to, slot = number(), slot_in(44)
    await desk.book(to, slot, site=fresh_site())
    always = QuietHours((slot - 3 * HOUR).time(), (slot + HOUR).time())
    desk.set_clock(slot - 2 * HOUR + timedelta(minutes=1))
    await desk.send(quiet=always)
    assert not desk.texts(to)
    near, desk.ahead = number(), timedelta()
    soon = (desk.now() + HOUR).replace(minute=0, second=0, microsecond=0) + HOUR
    around = QuietHours((soon - 4 * HOUR).time(), (soon + HOUR).time())
    booked = await desk.book(near, soon, site=fresh_site())
    await desk.send(quiet=around)
    await desk.cancel(booked)
    await desk.send(quiet=around)
    assert len(desk.texts(near)) == 2


async def test_failed_attempt_is_repeated_with_growing_pauses(desk: Desk) -> None:
    """After a 500 the message is sent again 30 s later, and after a further one a minute later."""
    to = number()
    desk.twilio.statuses = [500, 503, 201]
    await desk.book(to, slot_in(5), site=fresh_site())
    await desk.send()
    assert len(desk.texts(to)) == 1
    desk.ahead += FIRST_RETRY
    await desk.send()
    assert len(desk.texts(to)) == 2
    desk.ahead += FIRST_RETRY
    await desk.send()
    assert len(desk.texts(to)) == 2
    desk.ahead += FIRST_RETRY
    await desk.send()
    await desk.send()
    assert len(desk.texts(to)) == 3


async def test_mail_server_that_is_busy_gets_the_same_message_again(desk: Desk) -> None:
    """A 451 is repeated, under the same Message-ID; a 550 is not."""
    to, refused = address(), address()
    desk.mail.answers = ["451 busy", "250 OK"]
    await desk.book(to, slot_in(5), site=fresh_site())
    await desk.send()
    assert not desk.mail.to(to)
    desk.ahead += 2 * FIRST_RETRY
    await desk.send()
    (mail,) = desk.mail.to(to)
    assert mail["Message-ID"].endswith("@clinic.example>")
    desk.mail.answers = ["550 no such mailbox", "250 OK"]
    await desk.book(refused, slot_in(5), site=fresh_site())
    with capture_logs() as lines:
        await desk.send()
        desk.ahead += HOUR
        await desk.send()
    assert not desk.mail.to(refused)
    assert [line["code"] for line in lines if line["event"] == "notice_refused"] == ["550"]


async def test_message_is_given_up_after_a_bounded_time(desk: Desk) -> None:
    """An outage of hours is outlasted; after the last attempt one line says that nobody was told."""
    to = number()
    desk.twilio.statuses = [500]
    await desk.book(to, slot_in(5), site=fresh_site())
    with capture_logs() as lines:
        for _ in range(MOST_TRIES + 3):
            await desk.send()
            desk.ahead += timedelta(minutes=15)
    assert len(desk.texts(to)) == MOST_TRIES
    assert [line["code"] for line in lines if line["event"] == "notice_given_up"] == ["500"]


async def test_notice_that_cannot_be_composed_keeps_no_other_from_being_sent(desk: Desk) -> None:
    """A defect with one booking is a failed attempt: it is logged by its class, repeated and given up."""
    poisoned, other = address(), address()
    site = fresh_site()
    cursed = await desk.book(poisoned, slot_in(5), site=site)
    await desk.book(other, slot_in(5), site=site, resources=["dr-lee"])

    def link_of(booking: str) -> str:
        if booking == cursed["id"]:
            raise ValueError(poisoned)
        return f"https://clinic.example/appointments/{booking}"

    with capture_logs() as lines:
        await desk.send(link_of=link_of)
    assert (len(desk.mail.to(poisoned)), len(desk.mail.to(other))) == (0, 1)
    assert [line["code"] for line in lines if line["event"] == "notice_not_sent"] == ["ValueError"]
    assert poisoned not in str(lines)
    desk.ahead += 2 * FIRST_RETRY
    await desk.send()
    assert (len(desk.mail.to(poisoned)), len(desk.mail.to(other))) == (1, 1)


async def test_slow_provider_loses_the_notice_before_its_lease_ends(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt ends, however slowly the provider goes on, before another process would send too."""
    assert LEASE.total_seconds() > notifier.ATTEMPT_SECONDS * 1.5
    monkeypatch.setattr(notifier, "ATTEMPT_SECONDS", 0.5)
    to = address()
    await desk.book(to, slot_in(5), site=fresh_site())
    silent = await asyncio.start_server(lambda _reader, writer: writer.write(b"220-wait\r\n"), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    with capture_logs() as lines:
        await desk.send(mail=Mail(SmtpServer.parse(f"smtp://127.0.0.1:{port}"), SENDER, desk.now))
    silent.close()
    assert [line["code"] for line in lines if line["event"] == "notice_not_sent"] == ["TimeoutError"]
    desk.ahead += 2 * FIRST_RETRY
    await desk.send()
    assert len(desk.mail.to(to)) == 1


async def test_refused_number_is_not_tried_again(desk: Desk) -> None:
    """A 400 is final; a 401, which an operator mends, is not."""
    refused, later = number(), number()
    desk.twilio.statuses = [400, 201]
    await desk.book(refused, slot_in(5), site=fresh_site())
    await desk.send()
    desk.ahead += HOUR
    desk.twilio.statuses = [401, 201]
    await desk.book(later, slot_in(5), site=fresh_site())
    await desk.send()
    desk.ahead += HOUR
    await desk.send()
    assert (len(desk.texts(refused)), len(desk.texts(later))) == (1, 2)


async def test_booking_without_a_usable_contact_sends_nothing(desk: Desk) -> None:
    """No contact, a note, and a channel that is not set: nothing is sent, and nothing is left to do."""
    before = len(desk.mail.received), len(desk.twilio.received)
    for contact in (None, "call my mother", "040 5550100"):
        await desk.book(contact, slot_in(5), site=fresh_site())
    await desk.send()
    to = address()
    await desk.book(to, slot_in(5), site=fresh_site())
    await desk.send(mail=None)
    assert (len(desk.mail.received), len(desk.twilio.received)) == before


async def test_nothing_personal_is_stored_or_logged(desk: Desk) -> None:
    """No key or value of the buckets, and no log line, has a contact or a name."""
    mailed, texted = address(), number()
    with capture_logs() as lines:
        for contact in (mailed, texted):
            await desk.book(contact, slot_in(60), site=fresh_site())
        await desk.send()
    assert desk.mail.to(mailed)
    assert desk.texts(texted)
    jetstream = desk.connection.jetstream()
    stored = ""
    for bucket in ("notices", "notices_sent"):
        values = await jetstream.key_value(bucket)
        for key in await values.keys():
            stored += key + str((await values.get(key)).value)
    for text in (stored, str(lines)):
        assert text
        assert "canary" not in text
        assert texted[1:] not in text


async def test_control_without_the_mark_an_event_that_comes_again_is_told_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test of redelivery can fail: the mark that is written after the send is what stops the second."""

    async def forgets(_store: NoticeStore, _notice: Notice) -> None:
        return

    to = address()
    monkeypatch.setattr(NoticeStore, "mark", forgets)
    await desk.book(to, slot_in(5), site=fresh_site())
    await desk.send()
    await desk.connection.jetstream().delete_consumer(STREAM, CONSUMER)
    async with following(desk):
        await desk.send()
    assert len(desk.mail.to(to)) == 2


async def test_control_without_a_look_at_the_booking_a_cancelled_one_is_reminded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests of reminders can fail: what stops one is that the booking is read just before the send."""
    monkeypatch.setattr(Notice, "is_true_of", lambda *_: True)
    to, slot = address(), slot_in(49)
    booked = await desk.book(to, slot, site=fresh_site())
    await desk.cancel(booked)
    await desk.send()
    desk.set_clock(slot - DAY + HOUR / 6)
    await desk.send()
    assert "Reminder" in [mail["Subject"].split(":")[0] for mail in desk.mail.to(to)]
