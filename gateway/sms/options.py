"""Make the SMS channel that the settings ask for."""

from dataclasses import dataclass

from gateway.sms.channel import SmsChannel
from gateway.sms.lines import read_lines
from gateway.sms.numbers import NumberDigests
from shared.process.gateway_settings import AccessSettings, PublicSettings
from shared.process.message_settings import SmsSettings
from shared.process.settings import EventSettings, Misconfigured


@dataclass(frozen=True, eq=False)
class SmsOptions:
    """The channel, and its ways in.

    `auth_token`: of the provider, whose requests name `public_url`; None: there is no `POST /api/sms`.
    `simulator`: whether there is the page `/sms`.
    """

    channel: SmsChannel
    auth_token: str | None
    public_url: str
    simulator: bool


def sms_options(
    sms: SmsSettings, public: PublicSettings, events: EventSettings, access: AccessSettings
) -> SmsOptions | None:
    """Return what the settings ask for; None if there are no text messages.

    Raises:
        Misconfigured: settings that belong together are missing.
    """
    has_phone = sms.demo_pages and sms.sms_secret is not None
    if sms.sms_auth_token is None and not has_phone:
        return None
    if sms.sms_secret is None:
        raise Misconfigured("SMS_SECRET: must be set with SMS_AUTH_TOKEN")
    if sms.sms_auth_token is not None and public.public_url is None:
        raise Misconfigured("PUBLIC_URL: must be set with SMS_AUTH_TOKEN, because the provider signs it")
    channel = SmsChannel(
        read_lines(sms.sms_numbers),
        NumberDigests(sms.sms_secret),
        replicas=events.events_replicas,
        holds=access.holds_per_client,
        bookings=access.bookings_per_client_a_day,
    )
    return SmsOptions(channel, sms.sms_auth_token, public.public_url or "", has_phone)
