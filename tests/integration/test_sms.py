"""Text messages end to end: signed requests to real gateways and workers."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import nats
import pytest

from gateway.sms.numbers import NumberDigests
from gateway.sms.opt_outs import OptOuts
from tests.callers import NatsCaller
from tests.integration import texting
from tests.integration.texting import OURS_GERMAN, Phone
from tests.servers import Servers
from tests.slots import fresh_site
from tests.stack import Service, Stack, wait_until

WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
CHECK_UP = {"id": "check-up", "title": "Check-up", "durationMinutes": 20}
IN_FORCE_SECONDS = 2.0
ANSWER_SECONDS = 10.0
SITE = fresh_site()


class Texts:
    """Two gateways with the same numbers, their workers, and the times of the site."""

    def __init__(self, stack: Stack, urls: tuple[str, str]) -> None:
        self.stack = stack
        self.gateways = [httpx.AsyncClient(base_url=url, timeout=20) for url in urls]
        self.http = self.gateways[0]

    def phone(self, **more: Any) -> Phone:
        return Phone(self.http, **more)

    async def appointments(self, begin: datetime | None = None) -> list[dict[str, Any]]:
        start = begin or datetime.now(UTC)
        begins, ends = (at.isoformat(timespec="milliseconds") for at in (start, start + timedelta(days=31)))
        window = {"site": SITE, "from": begins, "to": ends}
        answer = await self.http.get("/api/appointments", params=window)
        found: list[dict[str, Any]] = answer.json()["appointments"]
        return found

    async def of(self, phone: Phone) -> list[dict[str, Any]]:
        """Return the booked appointments of a phone."""
        return [one for one in await self.appointments() if one.get("contact") == phone.number]

    async def free(self) -> dict[str, Any]:
        """Return the first free time, as the calendar has it."""
        answer = await self.http.get(
            "/api/next-free", params={"site": SITE, "service": "check-up", "any": "1"}
        )
        first: dict[str, Any] = answer.json()["free"][0]
        return first


@pytest.fixture(scope="module")
def running(servers: Servers) -> Iterator[tuple[Stack, tuple[str, str]]]:
    with servers.new_stack(**texting.settings(SITE)) as stack:
        stack.up(booking_workers=1)
        first = stack.url
        stack.start_gateway()
        stack.wait_ready()
        yield stack, (first, stack.url)


@pytest.fixture(scope="module")
async def texts(running: tuple[Stack, tuple[str, str]]) -> AsyncIterator[Texts]:
    texts = Texts(*running)
    await store_schedule(texts.http)
    yield texts
    for client in texts.gateways:
        await client.aclose()


async def store_schedule(http: httpx.AsyncClient, site: str = SITE, **more: Any) -> None:
    """Store the schedule of a doctor, and wait until it is in force."""
    schedule = {
        "title": "Dr Lee",
        "timeZone": "Europe/Berlin",
        "weekly": [{"days": WEEK, "from": "00:00", "to": "24:00"}],
        "services": [CHECK_UP],
        "stepMinutes": 30,
        "leadMinutes": 60,
        "enforced": True,
        **more,
    }
    stored = await http.put(f"/api/schedules/{site}/dr-lee", json=schedule)
    assert stored.status_code == 200, stored.text
    await asyncio.sleep(IN_FORCE_SECONDS)  # the promise of the service


async def test_phone_books_lists_moves_and_drops(texts: Texts) -> None:
    """A whole life of an appointment by text; the calendar has its name, contact and service."""
    phone = texts.phone()
    offers = await phone.text("hi")
    assert offers.startswith("Free times:\n1 ")
    held = await phone.text(" 2 ")
    assert held.startswith("Held 5 min for you: ")
    assert ", Check-up, Dr Lee. Reply" in held
    booked = await phone.text("Ada Lovelace")
    assert booked.startswith("Booked: ")
    assert ", Check-up, Dr Lee. Ref" in booked
    (stored,) = await texts.of(phone)
    assert (stored["patientName"], stored["service"], stored["durationMinutes"]) == (
        "Ada Lovelace",
        "check-up",
        20,
    )
    assert stored["id"][:8].upper() in booked
    assert (await phone.text("LIST")).splitlines()[1].startswith("1 ")
    assert (await phone.text("MOVE 1")).startswith("New time:\n")
    assert (await phone.text("3")).startswith("Moved to ")
    (moved,) = await texts.of(phone)
    assert (moved["id"], moved["version"]) == (stored["id"], 2)
    assert (await phone.text("Drop 1")).startswith("Dropped: ")
    assert await texts.of(phone) == []
    assert "No appointment" in await phone.text("LIST")


async def test_ok_without_a_name_books_for_the_number(texts: Texts) -> None:
    """The practice sees the number, and calls back; two phones that say OK are two patients."""
    one, other = texts.phone(), texts.phone(to=OURS_GERMAN)
    assert (await one.text("hi")).startswith("Free times:")
    assert (await other.text("Hallo")).startswith("Freie Termine:")
    assert (await one.text("1")).startswith("Held")
    taken = await other.text("1")
    assert taken.startswith("Leider gerade vergeben. Frei:\n1 ")
    assert (await other.text("1")).startswith("5 Min. reserviert: ")
    assert (await one.text("ok!")).startswith("Booked")
    assert (await other.text("ok danke")).startswith("Gebucht: ")
    assert [each["patientName"] for each in await texts.of(one)] == [one.number]
    assert [each["patientName"] for each in await texts.of(other)] == [other.number]


async def test_time_that_a_phone_refuses_is_free_again(texts: Texts) -> None:
    """NO releases the hold at once, and not after its minutes."""
    phone = texts.phone()
    await phone.text("hi")
    first = await texts.free()
    assert (await phone.text("1")).startswith("Held")
    assert (await texts.free())["slot"] != first["slot"]
    assert (await phone.text("No thanks")).startswith("Not booked: ")
    assert (await texts.free())["slot"] == first["slot"]
    assert await texts.of(phone) == []


async def test_time_held_for_a_phone_is_not_for_others_who_know_its_number(texts: Texts) -> None:
    """The number is no secret: a booking under it, without the token of the hold, is refused."""
    phone = texts.phone()
    first = await texts.free()
    await phone.text("hi")
    assert (await phone.text("1")).startswith("Held")
    body = {"site": SITE, "resources": ["dr-lee"], "slot": first["slot"], "service": "check-up"}
    taken = await texts.http.post("/api/book-appointment", json={**body, "patientName": phone.number})
    assert (taken.status_code, taken.headers["Error-Type"]) == (409, "SlotHeld")
    assert (await phone.text("OK")).startswith("Booked: ")


async def test_same_message_books_once_and_is_answered_alike(texts: Texts) -> None:
    """A provider that repeats a request gets the same reply, and the calendar one booking."""
    phone = texts.phone()
    await phone.text("hi")
    held = [await phone.text("1", message="SM-choice") for _ in range(2)]
    first, *more = [await phone.text("OK", message="SM-ok") for _ in range(3)]
    assert held[0] == held[1]
    assert first.startswith("Booked")
    assert more == [first, first]
    assert len(await texts.of(phone)) == 1


async def test_same_message_at_two_gateways_at_once_books_once(texts: Texts) -> None:
    """Each step of the conversation goes to both gateways in the same moment."""
    number = texts.phone().number
    phones = [Phone(http, number=number) for http in texts.gateways]
    for text in ("hi", "2", "OK"):
        replies = await asyncio.gather(*(phone.text(text, message=f"SM-{text}") for phone in phones * 3))
        assert len(set(replies)) == 1
        assert replies[0].split()[0] in ("Free", "Held", "Booked:")
    assert len(await texts.of(phones[0])) == 1


async def test_different_texts_of_one_phone_at_once_are_answered_one_by_one(texts: Texts) -> None:
    """Impatient people send several texts; none of them is judged by an old state."""
    phone, second = (Phone(http, number=texts.phone().number) for http in texts.gateways)
    second.number = phone.number
    await phone.text("hi")
    await phone.text("1")
    replies = await asyncio.gather(phone.text("OK"), second.text("OK"), phone.text("OK"))
    assert sorted(reply.split()[0] for reply in replies) == ["Already", "Already", "Booked:"]
    assert len(await texts.of(phone)) == 1


@pytest.mark.parametrize("token", ["x" * 32, ""])
async def test_wrong_signature_is_refused(texts: Texts, token: str) -> None:
    """A request that the provider did not sign changes nothing and learns nothing."""
    phone = texts.phone()
    answer = await phone.post("hi", token=token)
    assert (answer.status_code, answer.json()) == (403, {"error": "The signature is wrong"})
    unsigned = await texts.http.post("/api/sms", data={"To": texting.OURS, "From": "+49151", "Body": "hi"})
    assert unsigned.status_code == 403


async def test_signature_is_of_the_whole_request(texts: Texts) -> None:
    """A signed request whose text, number or query was changed is refused."""
    phone = texts.phone()
    fields = {"MessageSid": "SM1", "From": phone.number, "To": phone.to, "Body": "hi"}
    signed = {"X-Twilio-Signature": texting.sign(f"{texting.PUBLIC}/api/sms", fields)}
    changed = {**fields, "Body": "LIST"}
    assert (await texts.http.post("/api/sms", data=changed, headers=signed)).status_code == 403
    assert (await texts.http.post("/api/sms?a=b", data=fields, headers=signed)).status_code == 403
    assert (await texts.http.post("/api/sms", data=fields, headers=signed)).status_code == 200
    with_query = {"X-Twilio-Signature": texting.sign(f"{texting.PUBLIC}/api/sms?a=b", fields)}
    assert (await texts.http.post("/api/sms?a=b", data=fields, headers=with_query)).status_code == 200


async def test_request_that_is_no_text_is_refused(texts: Texts) -> None:
    """JSON, a body over 16 KiB, a missing field and a strange id get a sentence, and change nothing."""
    phone = texts.phone()
    assert (await texts.http.post("/api/sms", json={"To": texting.OURS})).status_code == 415
    assert (await phone.post("x" * 17_000)).status_code == 413
    assert (await texts.http.get("/api/sms")).status_code == 405
    strange = await phone.post("hi", message="one two")
    assert strange.status_code == 400
    assert strange.json()["error"].startswith("MessageSid must be")
    unsigned = {"To": texting.OURS, "Body": "hi"}
    signature = {"X-Twilio-Signature": texting.sign(f"{texting.PUBLIC}/api/sms", unsigned)}
    missing = await texts.http.post("/api/sms", data=unsigned, headers=signature)
    assert (missing.status_code, missing.json()["error"]) == (400, "Missing MessageSid")


async def test_text_to_another_number_gets_no_message(texts: Texts) -> None:
    """A number that is not ours is 404; a sender that is no phone gets an empty answer."""
    answer = await texts.phone(to="+4940999").post("hi")
    assert answer.status_code == 404
    assert texting.reply_in(answer) == ""
    assert await texts.phone(number="CLINIC").text("hi") == ""


async def test_gateway_without_a_token_has_no_such_call(http: httpx.AsyncClient) -> None:
    """Without `SMS_AUTH_TOKEN` there is neither the call nor the simulator."""
    assert (await http.post("/api/sms", data={"Body": "hi"})).status_code == 404
    assert (await http.post("/sms/texts", json={})).status_code == 404


async def test_stop_is_obeyed_until_start(texts: Texts) -> None:
    """STOP gets no reply, as the carrier confirms it; nothing is sent until START."""
    phone, digests = texts.phone(), NumberDigests(texting.SECRET)
    await phone.text("hi")
    connection = await nats.connect(texts.stack.env["NATS_URL"])
    opt_outs = OptOuts(connection.jetstream(), digests)
    assert not await opt_outs.has(phone.number)
    for text in ("Stop!", "hi", "1", "stopall"):
        assert await phone.text(text) == ""
        assert await opt_outs.has(phone.number)
    assert await phone.text("Start")
    assert not await opt_outs.has(phone.number)
    assert await phone.text("Bitte nichts mehr", OptOutType="STOP") == ""
    assert await opt_outs.has(phone.number)
    assert await phone.text("Wieder an", OptOutType="START")
    assert not await opt_outs.has(phone.number)
    assert await phone.text("hi")
    await connection.close()


async def test_slot_that_somebody_takes_while_it_is_offered(texts: Texts) -> None:
    """The phone reads that it was too late, with the next times, and books one of them."""
    phone = texts.phone()
    await phone.text("hi")
    first = await texts.free()
    body = {"slot": first["slot"], "site": SITE, "resources": ["dr-lee"], "service": "check-up"}
    rival = await texts.http.post("/api/book-appointment", json={**body, "patientName": "Eve"})
    assert rival.status_code == 201
    assert (await phone.text("1")).startswith("Sorry, just taken. Free next:\n1 ")
    assert (await phone.text("1")).startswith("Held")
    assert (await phone.text("OK")).startswith("Booked")


async def test_change_after_the_cut_off_is_refused_kindly(texts: Texts) -> None:
    """DROP and MOVE later than `cutOffMinutes` before the appointment change nothing."""
    await store_schedule(texts.http, f"{SITE}-b", cutOffMinutes=24 * 60)
    phone = texts.phone(to=texting.OURS_OF_ANOTHER_SITE)
    await phone.text("hi")
    await phone.text("1")
    assert (await phone.text("Ada")).startswith("Booked")
    for text in ("DROP 1", "MOVE 1"):
        assert (await phone.text(text)).startswith("It is too late to change ")
    assert (await phone.text("LIST")).startswith("Your appointments:")


async def test_race_of_a_phone_a_page_and_a_service(texts: Texts) -> None:
    """One of them gets the slot, and the two others are told so."""
    connection = await nats.connect(texts.stack.env["NATS_URL"])
    direct = NatsCaller(connection)
    for _ in range(5):
        phone = texts.phone()
        await phone.text("hi")
        slot = (await texts.free())["slot"]
        body = {"slot": slot, "site": SITE, "resources": ["dr-lee"], "service": "check-up"}

        async def by_text(phone: Phone = phone) -> bool:
            if not (await phone.text("1")).startswith("Held"):
                return False
            return (await phone.text("OK")).startswith("Booked")

        async def by_page(body: dict[str, Any] = body) -> bool:
            answer = await texts.gateways[1].post(
                "/api/book-appointment", json={**body, "patientName": "Page"}
            )
            assert answer.status_code in (201, 409), answer.text
            return answer.status_code == 201

        async def by_nats(body: dict[str, Any] = body) -> bool:
            answer = await direct.book_until_done({**body, "patientName": "Service"})
            assert answer.status in (201, 409), answer
            return answer.status == 201

        won = await asyncio.gather(by_text(), by_page(), by_nats())
        assert sum(won) == 1
        there = [each for each in await texts.appointments() if each["slot"] == slot]
        assert len(there) == 1
        if not won[0]:
            assert await texts.of(phone) == []
            assert (await phone.text("1")).startswith("Held")  # of the next times, which it got
    await connection.close()


async def test_logs_have_neither_numbers_nor_names_nor_texts(texts: Texts) -> None:
    """The number, the contact, the name and the text of a phone are in no line of any process."""
    phone = texts.phone()
    await phone.text("Zweitesrätsel please")
    await phone.text("1")
    await phone.text("Xaver Quastenflosser")
    await phone.post("hi", token="wrong")
    await texts.phone(to="+4940998877").post("hi")
    assert len(await texts.of(phone)) == 1
    wait_until(lambda: "sms_to_unknown_number" in logs_of(texts.stack.services), "the texts are logged")
    log = logs_of(texts.stack.services)
    for private in (phone.number[1:], "Quastenflosser", "Zweitesr", "4940998877"):
        assert private not in log
    assert not re.search(r"\b49151\d{4,}", log)


def logs_of(services: list[Service]) -> str:
    return "\n".join(service.log for service in services)


async def test_phone_without_a_calendar_is_asked_to_try_again(servers: Servers) -> None:
    """Whatever is away, the provider has its answer within 10 s; the same text then does its work once."""
    site = fresh_site()
    with servers.new_stack(**texting.settings(site)) as stack:
        stack.up(booking_workers=1)
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as http:
            await store_schedule(http, site)
            phone = Phone(http)
            await phone.text("hi")
            await phone.text("1")
            for worker in stack.workers("booking_worker"):
                worker.kill()
            began = time.monotonic()
            reply = await phone.text("OK", message="SM-ok")
            assert time.monotonic() - began < ANSWER_SECONDS
            assert reply.startswith("We could not reach the calendar")
            stack.services = [one for one in stack.services if one.running]
            stack.start("booking_worker")
            stack.wait_ready()
            assert (await phone.text("OK", message="SM-ok")).startswith("Booked")
            again = await phone.text("LIST")
            assert len(again.splitlines()) == 3


async def test_control_request_of_a_stranger_is_answered_without_signatures(servers: Servers) -> None:
    """Control: a gateway that checks no signature answers a stranger."""
    with servers.new_stack(**texting.settings(fresh_site())) as stack:
        stack.start_gateway(without="no_signatures")
        stack.wait_serving()
        wait_until(lambda: httpx.get(f"{stack.url}/livez").status_code == 200, "the gateway serves")
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as http:
            assert (await Phone(http).post("hi", token="x")).status_code == 200


async def test_control_texts_at_once_are_judged_by_an_old_state_without_claims(servers: Servers) -> None:
    """Control: a gateway that claims no conversation answers OK twice as if it were the first one."""
    site = fresh_site()
    with servers.new_stack(**texting.settings(site)) as stack:
        for service in ("booking_worker", "hold_worker"):
            stack.start(service)
        stack.start_gateway(without="no_claims")
        stack.wait_ready()
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as http:
            await store_schedule(http, site)
            most = 0
            for _ in range(20):  # the texts of a phone do not always overlap
                phone = Phone(http)
                await phone.text("hi")
                await phone.text("1")
                replies = await asyncio.gather(*(phone.text("OK") for _ in range(5)))
                most = max(most, sum(reply.startswith("Booked: ") for reply in replies))
                if most > 1:
                    break
            assert most > 1


async def test_simulator_is_a_phone_for_this_host_alone(servers: Servers) -> None:
    """The page's texts get the replies of the webhook; requests through a proxy are refused."""
    site = fresh_site()
    env = {"DEMO_PAGES": "true", "SMS_SECRET": texting.SECRET, "SMS_NUMBERS": f"{texting.OURS}={site}:en"}
    with servers.new_stack(**env) as stack:
        stack.up(booking_workers=1)
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as http:
            await store_schedule(http, site)
            assert (await http.get("/sms")).status_code == 200
            assert (await http.get("/sms/texts")).json() == {
                "numbers": [{"number": texting.OURS, "site": site, "language": "en"}]
            }
            text = {"phone": "+4915112345678", "to": texting.OURS, "text": "hi", "id": uuid4().hex}
            answer = await http.post("/sms/texts", json=text)
            assert answer.json()["reply"].startswith("Free times:\n1 ")
            assert (await http.post("/sms/texts", json=text)).json() == answer.json()
            assert (await http.post("/api/sms", data={"Body": "hi"})).status_code == 404
            for header in ({"X-Forwarded-For": "1.2.3.4"}, {"Host": "clinic.example"}):
                assert (await http.post("/sms/texts", json=text, headers=header)).status_code == 403
                assert (await http.get("/sms/texts", headers=header)).status_code == 403
            wrong = await http.post("/sms/texts", json={**text, "phone": "0151"})
            assert (wrong.status_code, wrong.json()["error"][:13]) == (400, "phone must be")
