"""Sends one delivery, as https://github.com/standard-webhooks/standard-webhooks specifies it."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from random import uniform

import httpx
from prometheus_client import Counter, Histogram
from standardwebhooks import Webhook as Signer

from gateway.webhooks.addresses import PORTS, PrivateAddress, resolve
from gateway.webhooks.endpoints import Secret, StoredWebhook, now
from gateway.webhooks.messages import Delivery
from shared.contract.version import VERSION
from shared.process.gateway_settings import WebhookSettings
from shared.process.metrics import SECONDS

# The schedule of the specification, in multiples of the first delay of 5 s; in all some three days.
_DELAYS = (1, 60, 360, 1440, 3600, 7200, 10080, 14400, 17280)
ATTEMPTS = len(_DELAYS) + 1
JITTER = 0.1
LONGEST_CONNECT_SECONDS = 2.0
"""The time to connect to an address while the host has further addresses."""

DELIVERIES = Counter("booking_webhook_deliveries", "Attempts to deliver an event, by outcome", ["outcome"])
ATTEMPT_SECONDS = Histogram(
    "booking_webhook_attempt_seconds", "Time until a receiver answered", buckets=(*SECONDS, 10, 15)
)


def retry_delay(attempt: int, first_delay: float) -> float:
    """Return the seconds to wait after the failed attempt number `attempt`, which is less than `ATTEMPTS`."""
    return first_delay * _DELAYS[attempt - 1] * uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter


def signatures(stored: Iterable[Secret], id: str, at: datetime, body: str) -> str:
    """Return a signature per secret that is valid at a time, separated by blanks."""
    valid = (secret.text for secret in stored if secret.until is None or secret.until > at)
    return " ".join(Signer(text).sign(id, at, body) for text in valid)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """Connects to an address that was checked, under the name that the URL has.

    No connection is used twice: the pool knows it by its address, not by the name in its certificate.
    """

    def __init__(self, seconds: float, *, allow_private: bool) -> None:
        """Arguments: `seconds` is the time of an attempt; at most half of it is spent on silent addresses."""
        super().__init__(limits=httpx.Limits(max_keepalive_connections=0))
        self._seconds = seconds
        self._allow_private = allow_private

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if url.scheme != "https" and not self._allow_private:  # created while that was allowed
            raise PrivateAddress
        port = url.port or PORTS[url.scheme]
        addresses = await resolve(url.host, port, allow_private=self._allow_private)
        connect_seconds = min(LONGEST_CONNECT_SECONDS, self._seconds / 2 / len(addresses))
        extensions = {**request.extensions, "sni_hostname": url.host}
        request.extensions = {**extensions, "timeout": {"connect": connect_seconds}}
        for address in addresses[:-1]:
            request.url = url.copy_with(host=address)
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):  # nothing of the request was sent
                return await super().handle_async_request(request)
        request.extensions = extensions
        request.url = url.copy_with(host=addresses[-1])
        return await super().handle_async_request(request)


class Sender:
    """Posts deliveries. Redirects are not followed, and bodies of answers are not read."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._seconds = settings.webhooks_timeout_seconds
        self._client = httpx.AsyncClient(
            transport=GuardedTransport(self._seconds, allow_private=settings.webhooks_allow_private),
            headers={"User-Agent": f"slotkeeper/{VERSION}", "Content-Type": "application/json"},
            timeout=None,  # noqa: S113 - `asyncio.timeout` bounds the attempt as a whole
            trust_env=False,
            follow_redirects=False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def send(
        self, webhook: StoredWebhook, *, id: str, event_type: str, body: str, attempt: int
    ) -> Delivery:
        """Make one attempt; the `Delivery` has its status or its error."""
        at, began = now(), time.perf_counter()
        headers = {
            "webhook-id": id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signatures(webhook.secrets, id, at, body),
        }
        status, error = None, None
        try:
            async with asyncio.timeout(self._seconds):
                async with self._client.stream(
                    "POST", webhook.url, content=body.encode(), headers=headers
                ) as response:
                    status = response.status_code
        except PrivateAddress:
            error = "PrivateAddress"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as failure:
            error = type(failure).__name__
        seconds = time.perf_counter() - began
        ATTEMPT_SECONDS.observe(seconds)
        return Delivery(
            id=id,
            type=event_type,
            attempt=attempt,
            at=at,
            status=status,
            error=error,
            ms=round(seconds * 1000, 1),
        )
