"""Webhooks when a process dies or stops, when a receiver hangs, and when an address is private."""

import asyncio
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.integration.event_log import event_log
from tests.integration.hooks import FAST, KIND, hooks
from tests.integration.receiver import receiver
from tests.servers import Servers
from tests.slots import fresh, fresh_site
from tests.stack import wait_until


async def test_event_of_a_process_killed_in_mid_delivery_is_delivered_again(servers: Servers) -> None:
    """A process dies before the receiver answers: another process delivers the event again."""
    async with hooks(servers) as started, receiver(shut=True) as there:
        webhook = await started.create(there)
        (id,) = await started.publish(webhook["site"])
        await there.until(1)
        (service,) = started.stack.workers(KIND)
        service.kill()
        there.open.set()
        started.start()
        await there.until(2)
        found = await started.until(webhook, lambda found: len(found) == 1)

    assert [delivery.id for delivery in there.received] == [id, id]
    assert (found[0]["attempt"], found[0]["status"]) == (2, 204)


async def test_sigterm_leaves_a_hanging_delivery_to_another_process(servers: Servers) -> None:
    """A process that is told to stop ends in its drain time; the delivery under way is made by another."""
    async with (
        hooks(servers, WEBHOOKS_TIMEOUT_SECONDS="60", REQUEST_TIMEOUT_SECONDS="1") as started,
        receiver(shut=True) as there,
    ):
        webhook = await started.create(there)
        await started.publish(webhook["site"])
        await there.until(1)
        (first,) = started.stack.workers(KIND)
        started.start()
        first.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(first.wait)
        await there.until(2)

    assert code == 0


async def test_hanging_receiver_is_an_error_after_the_time_of_an_attempt(servers: Servers) -> None:
    """A receiver that does not answer is given up after the time-out, and the event is retried."""
    async with hooks(servers, WEBHOOKS_TIMEOUT_SECONDS="1") as started, receiver(shut=True) as there:
        webhook = await started.create(there)
        await started.publish(webhook["site"])
        await there.until(2)
        found = await started.until(webhook, bool)

    assert found[-1]["error"] == "TimeoutError"
    assert found[-1]["ms"] >= 1000


async def test_private_address_is_refused_when_the_webhook_is_created(servers: Servers) -> None:
    """Without `WEBHOOKS_ALLOW_PRIVATE`, a URL must be https and lead to a public address."""
    async with hooks(servers, WEBHOOKS_ALLOW_PRIVATE="") as started:
        for url in ("https://127.0.0.1/", "https://[::1]/", "https://localhost/", "https://169.254.169.254/"):
            answer = await started.http.post("/api/webhooks", json={"url": url})
            assert answer.json() == {"error": "url must lead to a public address"}, url
            assert answer.status_code == 400
        answer = await started.http.post("/api/webhooks", json={"url": "http://192.0.2.1/"})
        assert answer.json() == {"error": "url must begin with https://"}


async def test_private_address_is_refused_at_delivery_too(servers: Servers) -> None:
    """A host that leads to a private address after the creation gets nothing."""
    async with hooks(servers) as started, receiver() as there:
        (allowing,) = started.stack.workers(KIND)
        webhook = await started.create(there)
        allowing.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(allowing.wait)
        started.start(WEBHOOKS_ALLOW_PRIVATE="")
        await started.publish(webhook["site"])
        found = await started.until(webhook, bool)

    assert found[0]["error"] == "PrivateAddress"
    assert not there.received


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
async def test_certificate_is_verified_by_the_name_in_the_url(servers: Servers, tmp_path: Path) -> None:
    """The connection goes to a checked address, and the certificate must be that of the URL's host."""
    certificate = certificate_for("localhost", tmp_path)
    async with (
        hooks(servers, processes=0) as started,
        receiver(certificate=certificate) as there,
    ):
        started.start(SSL_CERT_FILE=str(certificate))
        wait_until(lambda: httpx.get(f"{started.stack.url}/api/webhooks").status_code == 200, "it is ready")
        wrong = await started.create(there)
        there.url = there.url.replace("127.0.0.1", "localhost")
        right = await started.create(there)
        outcomes = [await started.post(webhook, "test") for webhook in (right, wrong)]

    assert [outcome.get("status") for outcome in outcomes] == [204, None]
    assert outcomes[1]["error"] == "ConnectError"


def certificate_for(host: str, folder: Path) -> Path:
    """Make a certificate that signs itself, with its key, in one file."""
    file = folder / "certificate.pem"
    command = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={host} -keyout {file} -out {file}.crt"
    )
    subprocess.run(
        [*shlex.split(command), "-addext", f"subjectAltName=DNS:{host}"], check=True, capture_output=True
    )
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


async def test_webhooks_are_not_executed_before_a_process_has_run(servers: Servers) -> None:
    """Without a process that delivers, the calls get 503 and say what is missing."""
    async with hooks(servers, processes=0) as started:
        answer = await started.http.post("/api/webhooks", json={"url": "http://127.0.0.1/"})
    assert (answer.status_code, answer.headers["Error-Type"]) == (503, "NotExecuted")
    assert "gateway.webhooks" in answer.json()["error"]


async def test_webhook_survives_a_lost_stream(servers: Servers) -> None:
    """After the event stream was deleted and created again, events are delivered again."""
    async with hooks(servers) as started, receiver() as there:
        webhook = await started.create(there)
        await started.publish(webhook["site"])
        await there.until(1)
        jetstream = started.connection.jetstream()
        config = (await jetstream.stream_info("EVENTS")).config
        await jetstream.delete_stream("EVENTS")
        await jetstream.add_stream(config)
        (id,) = await started.publish(webhook["site"])
        await there.until(2)

    assert there.received[-1].id == id


async def test_unreadable_webhook_stops_no_other(servers: Servers) -> None:
    """A value of the bucket that cannot be read is skipped with a warning, and can be deleted."""
    async with hooks(servers) as started, receiver() as there:
        bucket = await started.connection.jetstream().key_value("webhooks")
        broken = str(uuid4())
        await bucket.put(broken, b"{}")
        webhook = await started.create(there)
        await started.publish(webhook["site"])
        await there.until(1)
        listed = (await started.http.get("/api/webhooks")).json()["webhooks"]
        rotated = await started.http.post(f"/api/webhooks/{broken}/rotate")
        deleted = await started.http.delete(f"/api/webhooks/{broken}")
        (service,) = started.stack.workers(KIND)
        assert "webhook_unreadable" in service.log

    assert [each["id"] for each in listed] == [webhook["id"]]
    assert (rotated.status_code, deleted.status_code) == (503, 200)


async def test_webhook_is_deleted_even_if_its_deliveries_are_not(servers: Servers) -> None:
    """A deletion is confirmed once the endpoint is deleted, although its deliveries cannot be."""
    async with hooks(servers) as started, receiver() as there:
        webhook = await started.create(there)
        await started.connection.jetstream().delete_stream("KV_webhook_deliveries")
        deleted = await started.http.delete(f"/api/webhooks/{webhook['id']}")
        listed = (await started.http.get("/api/webhooks")).json()

    assert (deleted.status_code, listed) == (200, {"webhooks": []})


async def test_event_that_was_given_out_without_an_attempt_is_delivered(servers: Servers) -> None:
    """An event that processes took and could not attempt more than ten times is attempted, then given up."""
    async with hooks(servers) as started, receiver(500, 204) as there:
        webhook = await started.create(there)
        name = f"webhook-{webhook['id']}"
        jetstream = started.connection.jetstream()
        async with asyncio.timeout(10):
            while name not in {each.name for each in await jetstream.consumers_info("EVENTS")}:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        (first,) = started.stack.workers(KIND)
        first.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(first.wait)
        await started.publish(webhook["site"])
        taking = await jetstream.pull_subscribe_bind(name, "EVENTS")
        for _ in range(12):
            (message,) = await taking.fetch(1, 5)
            await message.nak()
        await taking.unsubscribe()
        second = started.start()
        found = await started.until(webhook, bool)
        wait_until(lambda: "webhook_given_up" in second.log, "the event is given up")

    assert [(each["attempt"], each["status"]) for each in found] == [(10, 500)]
    assert len(there.received) == 1


async def test_delivery_has_no_patient_name(servers: Servers) -> None:
    """From the booking to the receiver, no delivery has a name in its headers or body."""
    async with event_log(servers, **FAST) as log, receiver() as there:
        log.start_relay()
        process = log.stack.start(KIND)
        log.stack.start_gateway()
        wait_until(lambda: process.problem() is None, "the process serves")
        url = f"{log.stack.url}/api/webhooks"
        wait_until(lambda: httpx.get(url).status_code == 200, "webhooks are set up")
        site = fresh_site()
        secret = httpx.post(url, json={"url": there.url, "site": site}).json()["secret"]
        booked = await log.life.booked(fresh("Zebra Lovelace", site=site))
        await log.life.move(booked["id"], slot="2031-05-04T11:00:00.000Z")
        await log.life.cancel(booked["id"])
        received = await there.until(3)
        assert "Zebra" not in process.log

    assert {delivery.verified(secret)["type"] for delivery in received} == {
        "appointment.booked",
        "appointment.moved",
        "appointment.cancelled",
    }
    assert not [delivery for delivery in received if "Zebra" in f"{delivery.headers}{delivery.body!r}"]
