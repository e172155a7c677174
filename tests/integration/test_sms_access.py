"""Text messages in a closed deployment: API keys over HTTP, and accounts in NATS."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pymongo import MongoClient

from deploy.local.ports import free_port
from tests.integration import texting
from tests.integration.secure import secure_stack
from tests.integration.test_sms import store_schedule
from tests.integration.texting import Phone
from tests.keys import KeyFile, bearer
from tests.servers import Servers
from tests.slots import fresh_site
from tests.stack import Stack, wait_until

SITE = fresh_site()


@pytest.fixture(scope="module")
def stack(servers: Servers) -> Iterator[Stack]:
    limits = {"HOLDS_PER_CLIENT": "8", "BOOKINGS_PER_CLIENT_A_DAY": "8"}
    with secure_stack(servers, **texting.settings(SITE, **limits)) as stack:
        yield stack


async def test_signed_text_needs_no_key_and_acts_as_the_caller_sms(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A gateway with keys refuses a caller without one, and answers texts; NATS denies it nothing."""
    keys = KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")
    token = keys.new("schedules", "read", "names")
    port = free_port()
    stack.start("gateway", PORT=str(port), API_KEYS_FILE=str(keys.path))
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200, "the gateway is ready")
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        http.headers.update(bearer(token))
        await store_schedule(http, SITE)
        http.headers.pop("Authorization")
        assert (await http.get("/api/grid")).status_code == 401
        phone = Phone(http)
        assert (await phone.post("hi", token="wrong")).status_code == 403
        assert (await phone.text("hi")).startswith("Free times:")
        assert (await phone.text("1")).startswith("Held")
        assert (await phone.text("Ada")).startswith("Booked")
        begins = datetime.now(UTC).replace(microsecond=0)
        window = {"from": begins.isoformat(), "to": (begins + timedelta(days=2)).isoformat(), "site": SITE}
        listed = await http.get("/api/appointments", params=window, headers=bearer(token))
        (booked,) = listed.json()["appointments"]
        assert (booked["patientName"], booked["contact"]) == ("Ada", phone.number)
        assert (await phone.text("LIST")).startswith("Your appointments:")
        assert (await phone.text("STOP")) == ""
    client: MongoClient[dict[str, object]] = MongoClient(stack.env["MONGO_URI"])
    row = client.get_default_database()["appointments"].find_one({"_id": booked["id"]})
    client.close()
    assert row
    assert row["history"][0]["actor"] == "sms"  # type: ignore[index]


async def test_one_phone_cannot_book_everything(stack: Stack) -> None:
    """The caps of a client count for each phone: the fifth check-up of 20 minutes is too many."""
    async with httpx.AsyncClient(base_url=stack.url, timeout=20) as http:
        await store_schedule(http, SITE)
        phone, other = Phone(http), Phone(http)
        replies = []
        for _ in range(3):
            await phone.text("LIST")
            await phone.text("hi")
            replies += [await phone.text("1"), await phone.text("OK")]
        assert any(reply.startswith("This phone may not book more") for reply in replies)
        assert sum(reply.startswith("Booked") for reply in replies) == 2
        await other.text("hi")
        assert (await other.text("1")).startswith("Held")


async def test_no_service_lacks_a_permission(stack: Stack) -> None:
    """After the texts above, NATS has denied nothing to any service."""
    for service in stack.services:
        assert "nats_permission_denied" not in service.log, service.log
