"""Wiring of a process that sends messages to patients."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import phonenumbers
import structlog

from gateway.access.links import Links
from gateway.notify.consumers import Followers, for_ever
from gateway.notify.mail import Mail, SmtpServer
from gateway.notify.notifier import Channels, Notifier
from gateway.notify.per_site import PerSite
from gateway.notify.quiet import QuietHours
from gateway.notify.store import NoticeStore
from gateway.notify.texts import LANGUAGES
from gateway.notify.twilio import Twilio
from gateway.sms.lines import read_lines
from gateway.sms.numbers import NumberDigests
from gateway.sms.opt_outs import OptOuts
from shared.client.command_client import CommandClient
from shared.contract.errors import Refused
from shared.contract.replies import OK
from shared.process import settings
from shared.process.gateway_settings import AccessSettings, PublicSettings
from shared.process.message_settings import NotifySettings, SmsSettings
from shared.process.nats_process import connected
from shared.process.nats_wire import GuardedClient
from shared.process.settings import Misconfigured
from shared.process.tasks import run_until_cancelled
from shared.process.watched_file import InvalidFile

NAME = "notify"
LOOK_SECONDS = 30.0
"""A process looks for what is due at least so often; another process may have stored it."""
UNREADABLE = "JetStream does not answer"

log = structlog.get_logger()


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def notify(fail: Callable[[], None]) -> AsyncIterator[None]:
    """Send messages while the context lasts; call `fail` where that is not possible any more."""
    nats = settings.load(settings.NatsSettings)
    replicas = settings.load(settings.EventSettings).events_replicas
    connection = GuardedClient()
    jetstream = connection.jetstream()
    store = NoticeStore(jetstream, replicas)
    with_opt_outs = _opt_outs(jetstream, replicas)
    channels = channels_of(settings.load(NotifySettings), with_opt_outs)
    client = CommandClient(
        nats.nats_url,
        timeout=nats.request_timeout_seconds,
        name=NAME,
        tls=nats.tls(),
        access=nats.nats_access,
        on_closed=fail,
    )
    sending = Sending(Notifier(client, store, channels, now))
    followers = Followers(connection, store, now, sending.wake)
    try:
        async with connected(connection, NAME, lambda: {"notices": sending.problem or OK}, fail):
            await client.connect()
            following = [
                run_until_cancelled(for_ever(followers.follow_events, "events"), fail),
                run_until_cancelled(for_ever(followers.follow_audit, "audit"), fail),
            ]
            sender = run_until_cancelled(sending.run(), fail)
            try:
                yield
            finally:
                for task in following:
                    task.cancel()
                sending.stop()
                await asyncio.wait({sender, *following}, timeout=nats.drain_seconds)
                sender.cancel()
    finally:
        await client.close()
        for provider in (channels.sms, channels.mail):
            if provider is not None:
                await provider.close()


def channels_of(own: NotifySettings, opt_outs: OptOuts | None) -> Channels:
    """Return the channels that the settings describe.

    A site of `SMS_NUMBERS` has that number and language, unless `SMS_FROM` or `NOTIFY_LANGUAGE` name it.

    Raises:
        Misconfigured
    """
    sms = settings.load(SmsSettings)
    if not own.has_provider:
        raise Misconfigured("SMTP_URL: must be set, or TWILIO_ACCOUNT_SID")
    lines = read_lines(sms.sms_numbers).values()
    languages = _with(PerSite.parse(own.notify_language), {each.site: each.phrases.code for each in lines})
    numbers = _with(PerSite.parse(own.sms_from), {each.site: each.number for each in lines})
    if not languages.values <= LANGUAGES.keys():
        raise Misconfigured(f"NOTIFY_LANGUAGE: must be of {', '.join(LANGUAGES)}, such as en,harbour=de")
    regions = PerSite.parse(own.notify_region)
    if not regions.values <= {"", *phonenumbers.SUPPORTED_REGIONS}:
        raise Misconfigured("NOTIFY_REGION: must be of countries (ISO 3166), such as DE,downtown=US")
    text_messages = None
    if own.twilio_account_sid is not None:
        if not (sms.sms_auth_token and opt_outs and numbers.default):
            raise Misconfigured(
                "TWILIO_ACCOUNT_SID: needs SMS_AUTH_TOKEN, SMS_SECRET (of the opt-outs) and SMS_FROM"
            )
        text_messages = Twilio(own.twilio_url, own.twilio_account_sid, sms.sms_auth_token, numbers)
    mail = None
    if own.smtp_url is not None:
        mail = Mail(SmtpServer.parse(own.smtp_url), str(own.mail_from), now)
    return Channels(
        sms=text_messages,
        mail=mail,
        opt_outs=opt_outs,
        mail_from=own.mail_from or "",
        quiet=QuietHours.parse(own.quiet_hours),
        languages=languages,
        regions=regions,
        link_of=_link_of(),
    )


class Sending:
    """Looks for notices that are due, and sends them."""

    def __init__(self, notifier: Notifier) -> None:
        self.problem: str | None = "not read yet"
        self._notifier = notifier
        self._wake = asyncio.Event()
        self._stopping = False

    def wake(self, at: datetime) -> None:
        """Look again at an instant, if the next look is later."""
        seconds = (at - now()).total_seconds()
        if seconds <= LOOK_SECONDS:
            asyncio.get_running_loop().call_later(max(seconds, 0), self._wake.set)

    async def run(self) -> None:
        """Look, until stopped."""
        while not self._stopping:
            self._wake.clear()
            following = None
            try:
                following = await self._notifier.send_due()
                self.problem = None
            except Refused as error:
                if self.problem != UNREADABLE:
                    log.warning("notices_unreadable", reason=type(error).__name__)
                self.problem = UNREADABLE
            if following is not None:
                self.wake(following)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
        raise asyncio.CancelledError  # not the end of a task that must last

    def stop(self) -> None:
        """Finish the attempts under way, and begin no more."""
        self._stopping = True
        self._notifier.stop()
        self._wake.set()


def _with(chosen: PerSite, of_lines: dict[str, str]) -> PerSite:
    return PerSite(chosen.default, of_lines | chosen.others)


def _opt_outs(jetstream: object, replicas: int) -> OptOuts | None:
    secret = settings.load(SmsSettings).sms_secret
    return OptOuts(jetstream, NumberDigests(secret), replicas) if secret else None  # type: ignore[arg-type]


def _link_of() -> Callable[[str], str] | None:
    """Return how to make the link of a patient; None if the settings do not permit one.

    Raises:
        Misconfigured: `LINK_KEYS_FILE` is wrong.
    """
    url = settings.load(PublicSettings).public_url
    path = settings.load(AccessSettings).link_keys_file
    if url is None or path is None:
        return None
    try:
        links = Links(path)
    except InvalidFile as error:
        raise Misconfigured(f"LINK_KEYS_FILE: {error}") from None
    return lambda booking: f"{url}/appointments/{booking}#{links.secret_of(booking)}"
