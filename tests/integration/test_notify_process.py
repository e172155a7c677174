"""The process `gateway.notify`: it survives a kill, and works with the least permissions."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import nats
import pytest

from deploy.local.ports import free_port
from gateway.access.links import new_link_key, write_link_keys
from gateway.notify.consumers import CONSUMER
from shared.client.client import BookingClient
from shared.contract.commands import BookAppointment
from shared.contract.events import STREAM
from tests.integration.breakable import until
from tests.integration.mailbox import MailServer, itip_in, mail_server
from tests.integration.receiver import receiver
from tests.integration.secure import FULL, KEYS, connected_as
from tests.servers import Servers
from tests.slots import fresh_site
from tests.stack import Service, Stack, wait_until

KIND = "gateway.notify"
SLOT = (datetime.now(UTC) + timedelta(days=20)).replace(minute=0, second=0, microsecond=0)


@pytest.fixture
async def mail() -> AsyncIterator[MailServer]:
    async with mail_server() as server:
        yield server


def started(stack: Stack, mail: MailServer, **env: str) -> Service:
    service = stack.start(KIND, SMTP_URL=mail.url, MAIL_FROM="desk@clinic.example", **env)
    wait_until(lambda: service.problem() is None, "the process serves")
    return service


async def book(client: BookingClient, contact: str) -> str:
    command = BookAppointment.model_validate(
        {"slot": SLOT, "patientName": "Zoe-canary", "contact": contact, "site": fresh_site()}
    )
    return (await client.book(command)).id


async def test_confirmation_is_sent_once_though_the_process_is_killed(
    servers: Servers, mail: MailServer, tmp_path: Path
) -> None:
    """A booking made meanwhile is confirmed after the restart, an earlier one not again; logs have no one."""
    links = tmp_path / "links.json"
    write_link_keys(links, [new_link_key()])
    settings = {"PUBLIC_URL": "https://clinic.example", "LINK_KEYS_FILE": str(links)}
    with servers.new_stack() as stack:
        stack.start("booking_worker")
        stack.start("booking_worker.events")
        stack.wait_serving()
        connection = await nats.connect(stack.env["NATS_URL"])
        first = started(stack, mail, **settings)
        async with BookingClient(stack.env["NATS_URL"]) as client:
            id = await book(client, "canary1@example.org")
            (confirmation,) = await mail.until("canary1@example.org", 1)
            wait_until(lambda: "notice_settled" in first.log, "the process has marked it as sent")
            first.process.kill()
            first.wait()
            stack.services.remove(first)
            await book(client, "canary2@example.org")
            # The position is lost too: every event comes again.
            await connection.jetstream().delete_consumer(STREAM, CONSUMER)
            second = started(stack, mail, **settings)
            await mail.until("canary2@example.org", 1)
            await book(client, "canary3@example.org")
            await mail.until("canary3@example.org", 1)
        assert len(mail.received) == 3
        method, event = itip_in(confirmation)
        assert (method, event["UID"], event.start) == ("REQUEST", id, SLOT)
        plain = confirmation.get_body(("plain",))
        assert plain is not None
        assert f"https://clinic.example/appointments/{id}#ml_" in plain.get_content()
        for service in (first, second):
            assert "canary" not in service.log
            assert "ml_" not in service.log
        await connection.close()


async def test_process_needs_no_more_than_its_permissions(servers: Servers, mail: MailServer) -> None:
    """With accounts in NATS, it reads what it needs; its user can neither book nor cancel nor list."""
    async with receiver(201) as twilio:
        with servers.new_secure_stack(KEYS) as stack:
            stack.start("booking_worker")
            stack.start("booking_worker.events")
            stack.wait_serving()
            service = started(
                stack,
                mail,
                TWILIO_ACCOUNT_SID="AC1",
                TWILIO_URL=twilio.url.removesuffix("/hook"),
                SMS_AUTH_TOKEN="token",
                SMS_SECRET="s" * 32,
                SMS_FROM="+15550100000",
                QUIET_HOURS="00:00-00:00",
            )
            async with BookingClient(stack.env["NATS_URL"], access=stack.client_access(FULL)) as client:
                id = await book(client, "ada@example.org")
                await book(client, "+49405550100")
                await mail.until("ada@example.org", 1)
                await twilio.until(1)
            wait_until(lambda: service.log.count("notice_settled") == 2, "both are settled")
            assert "nats_denied" not in service.log
            assert '"level": "warning"' not in service.log.partition('"serving"')[2], service.log
            async with connected_as(stack, "notify") as (connection, denials):
                subjects = [f"acct.SERVICE.notify.booking.v1.{name}" for name in ("cancel", "book", "list")]
                for subject in subjects:
                    await connection.publish(subject, f'{{"id":"{id}"}}'.encode())
                await connection.flush()
                await until(lambda: all(map(denials.of, subjects)), "NATS has denied each of them")


async def test_health_says_that_notices_are_read(servers: Servers, mail: MailServer) -> None:
    """`/readyz` names the part; `/metrics` counts what was settled."""
    port = free_port()
    with servers.new_stack() as stack:
        started(stack, mail, WORKER_HTTP_PORT=str(port))
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200, "it is ready")
        assert httpx.get(f"{url}/readyz").json()["checks"] == {"nats": "ok", "notices": "ok"}
        assert "booking_notices_total" in httpx.get(f"{url}/metrics").text
