"""Send the notices that are due: read the appointment as it stands, and tell its patient what is true now."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import structlog
from prometheus_client import Counter

from gateway.calendars.events import Schedules, title_of, zone_of
from gateway.calendars.reads import read_schedules
from gateway.notify.contacts import Mailbox, Phone, read_contact
from gateway.notify.mail import itip_of
from gateway.notify.notices import Notice
from gateway.notify.per_site import PerSite
from gateway.notify.providers import Message, Provider, Undeliverable, Unsent
from gateway.notify.quiet import QuietHours
from gateway.notify.store import NoticeStore, Pending
from gateway.notify.texts import LANGUAGES, Texts
from gateway.sms.opt_outs import OptOuts
from shared.client.command_client import CommandClient
from shared.contract.commands import GetAppointment, GetHistory
from shared.contract.errors import NoSuchAppointment, Refused
from shared.contract.operations import GET, HISTORY
from shared.contract.replies import Appointment

FIRST_RETRY, LONGEST_RETRY = timedelta(seconds=30), timedelta(minutes=15)
AT_ONCE = 8
ATTEMPT_SECONDS = 45.0
"""How long a provider may take for a message, in all: well below the lease, after which others send it."""
MOST_TRIES = 20
"""After the attempts of some four hours a notice is given up."""
NOTICES = Counter("booking_notices", "Notices that were settled or retried", ["channel", "outcome"])
Outcome = Literal["sent", "dropped", "postponed", "opted_out"]

log = structlog.get_logger()


@dataclass(frozen=True)
class Channels:
    """How messages leave. A channel that is None is not used: nothing is sent to such contacts."""

    sms: Provider[Phone] | None = None
    mail: Provider[Mailbox] | None = None
    opt_outs: OptOuts | None = None
    mail_from: str = ""
    quiet: QuietHours = QuietHours.parse("21:00-08:00")  # noqa: RUF009 - frozen
    languages: PerSite = PerSite("en", {})  # noqa: RUF009 - frozen
    regions: PerSite = PerSite("", {})  # noqa: RUF009 - frozen
    link_of: Callable[[str], str] | None = None
    """Returns the link with which the patient of an appointment changes it."""


class Notifier:
    """Sends notices.

    Args:
        client: reads appointments and schedules.
        store: of the notices.
        channels: how messages leave.
        clock: the time.
    """

    def __init__(
        self, client: CommandClient, store: NoticeStore, channels: Channels, clock: Callable[[], datetime]
    ) -> None:
        self._client, self._store, self._channels, self._clock = client, store, channels, clock
        self._stopping = False

    async def send_due(self) -> datetime | None:
        """Send what is due; return when to look again, if something is known to become due.

        Raises:
            Refused: JetStream does not answer.
        """
        due, following = await self._store.due(self._clock())
        while due and not self._stopping:
            part, due = due[:AT_ONCE], due[AT_ONCE:]
            # A failure must not cancel the others: a message that was handed over needs its mark.
            for outcome in await asyncio.gather(*map(self._settle, part), return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
        return following

    def stop(self) -> None:
        """Begin no more attempts."""
        self._stopping = True

    async def _settle(self, pending: Pending) -> None:
        if (taken := await self._store.take(pending, self._clock())) is not None:
            await self._attempt(taken)

    async def _attempt(self, pending: Pending) -> None:
        """Send a notice that this process has taken, and settle it, or leave it for later."""
        notice, channel = pending.notice, "none"
        try:
            if await self._store.was_sent(notice):
                await self._store.forget(notice)
                return
            prepared = await self._prepare(pending)
            if isinstance(prepared, str):
                outcome: Outcome = prepared
            else:
                channel = "sms" if isinstance(prepared.to, Phone) else "mail"
                async with asyncio.timeout(ATTEMPT_SECONDS):
                    await self._hand_over(prepared)
                outcome = "sent"
        except Undeliverable as refusal:
            NOTICES.labels(channel, "refused").inc()
            log.warning("notice_refused", **_about(notice), channel=channel, code=refusal.code)
            outcome = "dropped"
        except (Unsent, Refused) as failure:
            await self._retry(pending, channel, failure)
            return
        except Exception as failure:  # one notice must never keep all others from being sent
            await self._retry(pending, channel, Unsent(type(failure).__name__))
            return
        if outcome == "postponed":
            return
        NOTICES.labels(channel, outcome).inc()
        log.info("notice_settled", **_about(notice), channel=channel, outcome=outcome)
        await self._store.mark(notice)
        await self._store.forget(notice)

    async def _retry(self, pending: Pending, channel: str, failure: Unsent | Refused) -> None:
        """Leave a notice for a later attempt, or give it up."""
        code = failure.code if isinstance(failure, Unsent) else type(failure).__name__
        about = {**_about(pending.notice), "channel": channel, "code": code}
        if pending.tries >= MOST_TRIES:
            NOTICES.labels(channel, "given_up").inc()
            log.warning("notice_given_up", **about)
            await self._store.mark(pending.notice)
            await self._store.forget(pending.notice)
            return
        NOTICES.labels(channel, "retried").inc()
        log.warning("notice_not_sent", **about, tries=pending.tries)
        pause = min(FIRST_RETRY * 2 ** (pending.tries - 1), LONGEST_RETRY)
        await self._store.postpone(pending, self._clock() + pause, tries=pending.tries)

    async def _prepare(self, pending: Pending) -> Message[Phone] | Message[Mailbox] | Outcome:
        """Return the message of a notice, or why there is none.

        Raises:
            Refused
        """
        notice, channels = pending.notice, self._channels
        try:
            found = await self._client.send(GET, GetAppointment(id=notice.id))
            history = await self._client.send(HISTORY, GetHistory(id=notice.id))
        except NoSuchAppointment:
            return "dropped"
        appointment, now = found.body.appointment, self._clock()
        if appointment.contact is None or not notice.is_true_of(appointment, history.body.history, now):
            return "dropped"
        to = read_contact(appointment.contact, channels.regions.of(appointment.site) or None)
        if to is None or (channels.sms if isinstance(to, Phone) else channels.mail) is None:
            return "dropped"
        schedules = await read_schedules(self._client, appointment.site, appointment.resources)
        if isinstance(to, Phone):
            if channels.opt_outs is not None and await channels.opt_outs.has(to.number):
                return "opted_out"
            if (outcome := await self._wait_for_day(pending, appointment, _zone(schedules))) is not None:
                return outcome
        return self._message(notice, appointment, schedules, to)

    async def _wait_for_day(
        self, pending: Pending, appointment: Appointment, zone: ZoneInfo
    ) -> Outcome | None:
        """Postpone a text message in quiet hours; None if it may go now.

        If they end only after the slot, a reminder is dropped; what patients cannot know goes at once.
        """
        now = self._clock()
        ends = self._channels.quiet.end_after(now, zone)
        if ends <= now:
            return None
        if ends < appointment.slot:
            await self._store.postpone(pending, ends, tries=0)
            return "postponed"
        return None if pending.notice.lead is None else "dropped"

    def _message(
        self, notice: Notice, appointment: Appointment, schedules: Schedules, to: Phone | Mailbox
    ) -> Message[Phone] | Message[Mailbox]:
        channels, kind, site = self._channels, notice.kind, appointment.site
        texts: Texts = LANGUAGES[channels.languages.of(site)]
        what, local = title_of(appointment, schedules), appointment.slot.astimezone(_zone(schedules))
        if isinstance(to, Phone):
            return Message(notice.key, site, to, texts.sms(kind, what, local))
        link = channels.link_of(appointment.id) if channels.link_of else None
        return Message(
            notice.key,
            site,
            to,
            texts.mail(kind, what, local, link),
            subject=texts.subject(kind, what, local),
            calendar=itip_of(
                kind,
                appointment,
                what,
                sender=channels.mail_from,
                to=to.address,
                zone=zone_of(schedules),
                at=self._clock(),
            ),
        )

    async def _hand_over(self, message: Message[Phone] | Message[Mailbox]) -> None:
        if isinstance(message.to, Phone):
            assert self._channels.sms is not None  # noqa: S101 - `_prepare` has checked it
            await self._channels.sms.send(message)
        else:
            assert self._channels.mail is not None  # noqa: S101 - `_prepare` has checked it
            await self._channels.mail.send(message)


def _zone(schedules: Schedules) -> ZoneInfo:
    return ZoneInfo(zone_of(schedules) or "UTC")


def _about(notice: Notice) -> dict[str, str]:
    """Return what the log has of a notice: no contact, no name."""
    return {"appointment_id": notice.id, "kind": str(notice.kind)}
