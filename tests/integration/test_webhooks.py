"""Webhooks: signed deliveries of events, as the Standard Webhooks specification has them."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from nats.js import JetStreamContext
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.webhooks.messages import TEST_SUBJECT, Delivery
from shared.contract.envelope import read_reply
from shared.contract.errors import NoSuchWebhook
from tests.integration.hooks import Hooks, hooks
from tests.integration.receiver import WAIT_SECONDS, receiver
from tests.servers import Servers
from tests.slots import fresh_site

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
async def shared_hooks(servers: Servers) -> AsyncIterator[Hooks]:
    """Two processes deliver; each test has sites of its own."""
    async with hooks(servers, processes=2) as started:
        yield started


async def test_delivery_is_signed_as_specified_and_has_the_event(shared_hooks: Hooks) -> None:
    """A receiver verifies a delivery with the specification's library, and reads the event's data in it."""
    async with receiver() as there:
        webhook = await shared_hooks.create(there)
        (id,) = await shared_hooks.publish(webhook["site"])
        (delivery,) = await there.until(1)

    payload = delivery.verified(webhook["secret"])
    assert delivery.id == id
    assert delivery.headers["content-type"] == "application/json"
    assert payload["type"] == "appointment.booked"
    assert datetime.fromisoformat(payload["timestamp"]).tzinfo is not None
    assert payload["data"] == {
        "id": id.partition(":")[0],
        "version": 1,
        "site": webhook["site"],
        "resources": ["dr-lee"],
        "slot": "2031-05-04T09:00:00.000Z",
        "durationMinutes": 5,
    }
    with pytest.raises(WebhookVerificationError):
        delivery.verified("whsec_" + "A" * 32)


async def test_webhook_gets_events_of_its_site_and_types_only(shared_hooks: Hooks) -> None:
    """An event of another site or type is not delivered; each wanted one is delivered once."""
    async with receiver() as there:
        webhook = await shared_hooks.create(there, types=["appointment.moved", "appointment.cancelled"])
        await shared_hooks.publish(fresh_site(), "moved")
        _, moved, cancelled = await shared_hooks.publish(webhook["site"], "booked", "moved", "cancelled")
        await there.until(2)
        found = await shared_hooks.until(webhook, lambda found: len(found) == 2)

    assert {delivery.id for delivery in there.received} == {moved, cancelled}
    assert [delivery["status"] for delivery in found] == [204, 204]


async def test_webhook_without_a_site_gets_the_events_of_all_sites(shared_hooks: Hooks) -> None:
    """A webhook that names no site gets the events of every site."""
    async with receiver() as there:
        webhook = await shared_hooks.create(there, site=None)
        ids = [*await shared_hooks.publish(fresh_site()), *await shared_hooks.publish(fresh_site())]
        await there.until(2)
        await shared_hooks.http.delete(f"/api/webhooks/{webhook['id']}")

    assert "site" not in webhook
    assert {delivery.id for delivery in there.received} == set(ids)


async def test_list_shows_no_secret_and_a_deleted_webhook_gets_nothing(shared_hooks: Hooks) -> None:
    """The secret is shown once; after its deletion a webhook is unknown."""
    async with receiver() as there:
        webhook = await shared_hooks.create(there)
        listed = (await shared_hooks.http.get("/api/webhooks")).json()["webhooks"]
        deleted = await shared_hooks.http.delete(f"/api/webhooks/{webhook['id']}")
        again = await shared_hooks.http.delete(f"/api/webhooks/{webhook['id']}")
        await shared_hooks.publish(webhook["site"])

    (shown,) = (each for each in listed if each["id"] == webhook["id"])
    assert shown == {name: value for name, value in webhook.items() if name != "secret"}
    assert webhook["secret"].removeprefix("whsec_") not in json.dumps(listed)
    assert (deleted.status_code, again.status_code) == (200, 404)
    assert again.headers["Error-Type"] == "NoSuchWebhook"
    assert not there.received


async def test_failed_delivery_is_retried_under_the_same_id(shared_hooks: Hooks) -> None:
    """After a 500 the event comes again, and both attempts are listed with status and latency."""
    async with receiver(500, 204) as there:
        webhook = await shared_hooks.create(there)
        (id,) = await shared_hooks.publish(webhook["site"])
        await there.until(2)
        found = await shared_hooks.until(webhook, lambda found: len(found) == 2)

    assert [delivery.id for delivery in there.received] == [id, id]
    assert [(each["attempt"], each["status"]) for each in found] == [(2, 204), (1, 500)]
    assert all(each["ms"] > 0 and each["type"] == "appointment.booked" for each in found)


async def test_410_ends_the_webhook(shared_hooks: Hooks) -> None:
    """A receiver that answers 410 gets no further event and no replay, and the list shows since when."""
    async with receiver(410, 204) as there:
        webhook = await shared_hooks.create(there)
        await shared_hooks.publish(webhook["site"])
        await shared_hooks.until(webhook, lambda found: len(found) == 1)
        await shared_hooks.publish(webhook["site"])
        listed = (await shared_hooks.http.get("/api/webhooks")).json()["webhooks"]
        async with receiver() as other:
            witness = await shared_hooks.create(other, site=webhook["site"])
            await shared_hooks.publish(webhook["site"])
            await other.until(1)
        replay = await shared_hooks.http.post(
            f"/api/webhooks/{webhook['id']}/replay", json={"since": "2020-01-01T00:00Z"}
        )

    assert (replay.status_code, replay.headers["Error-Type"]) == (409, "WebhookDisabled")
    (shown,) = (each for each in listed if each["id"] == webhook["id"])
    assert shown["disabledAt"]
    assert "disabledAt" not in witness
    assert len(there.received) == 1


async def test_redirect_is_not_followed(shared_hooks: Hooks) -> None:
    """A redirect counts as a failure: its target gets nothing, and the event is retried."""
    async with receiver() as inner, receiver(302, 302, 204, location=inner.url) as there:
        webhook = await shared_hooks.create(there)
        await shared_hooks.publish(webhook["site"])
        await there.until(2)

    assert not inner.received


async def test_rotated_secret_and_the_old_one_both_verify(shared_hooks: Hooks) -> None:
    """After a rotation, a delivery has two signatures, so a receiver may change its secret at any time."""
    async with receiver() as there:
        webhook = await shared_hooks.create(there)
        rotated = await shared_hooks.post(webhook, "rotate")
        await shared_hooks.publish(webhook["site"])
        (delivery,) = await there.until(1)

    assert rotated["secret"] != webhook["secret"]
    assert len(delivery.headers["webhook-signature"].split()) == 2
    assert delivery.verified(webhook["secret"]) == delivery.verified(rotated["secret"])
    until = datetime.fromisoformat(rotated["bothUntil"])
    assert timedelta(hours=23) < until - datetime.now(UTC) <= timedelta(days=1)


async def is_replaying(jetstream: JetStreamContext) -> bool:
    return any("replay" in consumer.name for consumer in await jetstream.consumers_info("EVENTS"))


async def test_replay_delivers_past_events_again_and_then_ends(shared_hooks: Hooks) -> None:
    """A replay delivers the events since a time under their ids; an event after it comes once."""
    jetstream = shared_hooks.connection.jetstream()
    async with receiver() as there:
        webhook = await shared_hooks.create(there)
        (old,) = await shared_hooks.publish(webhook["site"])
        await there.until(1)
        since = datetime.now(UTC).isoformat(timespec="milliseconds")
        before = await shared_hooks.publish(webhook["site"], "booked", "moved")
        await there.until(3)
        await shared_hooks.post(webhook, "replay", since=since)
        await there.until(5)
        (later,) = await shared_hooks.publish(webhook["site"])
        await there.until(6)
        async with asyncio.timeout(WAIT_SECONDS):
            while await is_replaying(jetstream):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    assert sorted(delivery.id for delivery in there.received) == sorted([old, *before, *before, later])


async def test_replay_since_any_time_delivers_what_is_stored(shared_hooks: Hooks) -> None:
    """A time before the first event replays all events of the webhook's site."""
    async with receiver() as there:
        webhook = await shared_hooks.create(there)
        (id,) = await shared_hooks.publish(webhook["site"])
        await there.until(1)
        await shared_hooks.post(webhook, "replay", since="0001-01-01T00:00Z")
        await there.until(2)

    assert [delivery.id for delivery in there.received] == [id, id]


async def test_test_delivery_is_signed_and_answered_with_its_outcome(shared_hooks: Hooks) -> None:
    """`test` delivers a signed event of type `webhook.test`, and answers the receiver's status."""
    async with receiver(202) as there:
        webhook = await shared_hooks.create(there)
        answer = await shared_hooks.post(webhook, "test")
        (delivery,) = await there.until(1)

    payload = Webhook(webhook["secret"]).verify(delivery.body, delivery.headers)
    assert payload["type"] == "webhook.test"
    assert (answer["status"], answer["type"], answer["id"]) == (202, "webhook.test", delivery.id)


async def test_refused_test_delivery_is_answered_at_once(shared_hooks: Hooks) -> None:
    """A process that cannot find the webhook of a test delivery answers with the refusal."""
    answer = await shared_hooks.connection.request(TEST_SUBJECT, NOBODY.encode(), timeout=2)
    with pytest.raises(NoSuchWebhook):
        read_reply(answer.data, answer.headers or {}, Delivery)


async def test_slow_webhook_delays_no_other(shared_hooks: Hooks) -> None:
    """While one receiver answers nothing, another one of the same site gets every event."""
    async with receiver(shut=True) as slow, receiver() as fast:
        stuck = await shared_hooks.create(slow)
        await shared_hooks.create(fast, site=stuck["site"])
        for _ in range(10):
            await shared_hooks.publish(stuck["site"], "booked", "moved", "cancelled")
        await fast.until(30)
        assert not await shared_hooks.deliveries(stuck)  # none of the slow attempts has ended
        assert slow.received


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "ftp://example.org/"}, "url"),
        ({"url": "https://user:secret@example.org/"}, "url"),
        ({"url": "https://example.org:99999/"}, "url"),
        ({"url": "https://no-such-host.invalid/"}, "url"),
        ({"url": "http://127.0.0.1/", "types": ["booked"]}, "types"),
        ({"url": "http://127.0.0.1/", "types": []}, "types"),
        ({"url": "http://127.0.0.1/", "site": "a b"}, "site"),
        ({"url": "http://127.0.0.1/", "colour": "red"}, "colour"),
    ],
)
async def test_wrong_webhook_is_refused_by_the_name_of_its_field(
    shared_hooks: Hooks, body: dict[str, object], field: str
) -> None:
    """An invalid webhook gets 400 with a sentence that names the field."""
    answer = await shared_hooks.http.post("/api/webhooks", json=body)
    assert (answer.status_code, answer.headers["Error-Type"]) == (400, "InvalidRequest")
    assert field in answer.json()["error"].split()
    assert "secret" not in answer.text


@pytest.mark.parametrize("call", ["rotate", "test", "replay", "deliveries"])
@pytest.mark.parametrize("id", [NOBODY, "Ada Lovelace"])
async def test_unknown_webhook_is_404(shared_hooks: Hooks, call: str, id: str) -> None:
    """Every call for a webhook that does not exist gets 404."""
    method, body = ("GET", None) if call == "deliveries" else ("POST", None)
    if call == "replay":
        body = {"since": "2030-01-07T09:00Z"}
    answer = await shared_hooks.http.request(method, f"/api/webhooks/{id}/{call}", json=body)
    assert (answer.status_code, answer.headers["Error-Type"]) == (404, "NoSuchWebhook")


async def test_forwarded_request_is_refused(shared_hooks: Hooks) -> None:
    """A request that a proxy on this host passes on comes from elsewhere: 403."""
    answer = await shared_hooks.http.get("/api/webhooks", headers={"X-Forwarded-For": "192.0.2.1"})
    assert (answer.status_code, answer.headers["Error-Type"]) == (403, "Forbidden")
