"""Every process works with a user of MongoDB and Redis that may do what it needs, and nothing else."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from deploy import passwords
from deploy.mongo_users import ROLES
from shared.client.client import BookingClient
from tests.guarded import Guarded, guarded_servers
from tests.servers import Servers
from tests.stack import Stack

MONGO_USERS = sorted(ROLES)
REDIS_USERS = sorted(passwords.REDIS_USERS)
UNAUTHORIZED = 13
Client = MongoClient[dict[str, Any]]
PLACE: dict[str, Any] = {"resources": ["dr-lee", "room-2"], "durationMinutes": 30, "patientName": "Ada"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded_servers(tmp_path_factory.mktemp("guarded")) as guarded:
        yield guarded


@pytest.fixture(scope="module")
def least(servers: Servers, guarded: Guarded) -> Iterator[Stack]:
    """Start every service with the user of its own; the booking worker finds an empty database."""
    with servers.new_stack(MONGO_URI="", REDIS_URL="") as stack:
        stack.start("hold_worker", **guarded.env("hold_worker", "hold_worker"))
        stack.start("booking_worker", **guarded.env("booking_worker", "booking_worker"))
        stack.start("booking_worker.events", **guarded.env("relay"))
        stack.start_gateway()
        stack.wait_ready()
        yield stack


@pytest.fixture
async def least_http(least: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{least.url}/api", timeout=20) as client:
        yield client


async def test_every_call_works_with_the_least_rights(least: Stack, least_http: httpx.AsyncClient) -> None:
    """Hold, extend, book, read, move, cancel, release, and the events of all that."""
    token, http = str(uuid4()), least_http
    wanted = {**PLACE, "slot": "2031-03-03T09:00:00Z", "holdToken": token}
    statuses = {
        "hold": await http.post("hold-appointment", json=wanted),
        "extend": await http.post("hold-appointment", json=wanted),
        "book": await http.post("book-appointment", json=wanted, headers={"Idempotency-Key": token}),
        "repeat": await http.post("book-appointment", json=wanted, headers={"Idempotency-Key": token}),
    }
    booked = statuses["book"].json()["appointment"]["id"]
    hours = {"days": ["mon"], "from": "09:00", "to": "18:00"}
    rules = {"title": "A", "timeZone": "UTC", "weekly": [hours]}
    schedule = f"schedules/default/{PLACE['resources'][0]}"
    day = {"from": "2031-03-03T00:00Z", "to": "2031-03-04T00:00Z", "resource": PLACE["resources"][0]}
    statuses |= {
        "put schedule": await http.put(schedule, json=rules),
        "put another schedule": await http.put(schedule, json={**rules, "stepMinutes": 30}),
        "get schedule": await http.get(schedule),
        "conflicts": await http.get(f"{schedule}/conflicts"),
        "free slots": await http.get("free-slots", params=day),
        "delete schedule": await http.delete(schedule),
    }
    window = {"from": "2031-03-03T00:00Z", "to": "2031-03-04T00:00Z"}
    later = {**PLACE, "slot": "2031-03-03T12:00:00Z", "holdToken": token}
    statuses |= {
        "hold more": await http.post("hold-appointment", json=later),
        "slots": await http.get("slots", params=window),
        "list": await http.get("appointments", params=window),
        "get": await http.get(f"appointments/{booked}"),
        "release": await http.post("release-hold", json={"holdToken": token}),
        "move": await http.patch(f"appointments/{booked}", json={"slot": "2031-03-03T11:00:00Z"}),
        "history": await http.get(f"appointments/{booked}/history"),
        "cancel": await http.delete(f"appointments/{booked}"),
    }
    assert {name: answer.status_code for name, answer in statuses.items() if not answer.is_success} == {}
    assert {row["state"] for row in statuses["slots"].json()["taken"]} == {"booked", "held"}
    async with BookingClient(least.env["NATS_URL"]) as client, asyncio.timeout(20):
        kinds = []
        async for event in client.events(since="2020-01-01T00:00Z"):
            kinds.append(event.type.rpartition(".")[2])
            if len(kinds) == 3:
                break
    assert kinds == ["booked", "moved", "cancelled"]


async def test_race_works_with_the_least_rights(least_http: httpx.AsyncClient) -> None:
    """Of concurrent holds and bookings of a slot some are withdrawn and refused, and one booking wins."""
    for hour in range(8, 16):
        wanted = {"slot": f"2031-03-04T{hour:02}:00:00Z", "durationMinutes": 15}
        calls = [
            least_http.post(call, json={**wanted, "patientName": f"Patient {n}"})
            for n in range(6)
            for call in ("hold-appointment", "book-appointment")
        ]
        statuses = [answer.status_code for answer in await asyncio.gather(*calls)]
        assert set(statuses) <= {200, 201, 409, 503}
        assert statuses.count(201) <= 1


def test_no_part_complains_about_missing_rights(least: Stack) -> None:
    """After these calls, no log names a refusal of MongoDB or Redis, but the hold worker's first one."""
    assert least.services
    for service in least.services:
        lines = [line for line in service.log.splitlines() if '"warning"' in line or '"error"' in line]
        expected = ["answered", *(["database_not_ready"] if service.kind == "hold_worker" else [])]
        assert not [line for line in lines if json.loads(line)["event"] not in expected], service.kind


def _insert(client: Client) -> None:
    client.booking.appointments.insert_one({"status": "other"})


def _update(client: Client) -> None:
    client.booking.appointments.update_many({"site": "none"}, {"$set": {"status": "cancelled"}})


FORBIDDEN: dict[str, tuple[Callable[[Client], object], set[str]]] = {
    "drop the database": (lambda client: client.drop_database("booking"), set()),
    "drop the bookings": (lambda client: client.booking.drop_collection("appointments"), set()),
    "drop an index": (lambda client: client.booking.appointments.drop_index("one_booking_per_claim"), set()),
    "delete bookings": (lambda client: client.booking.appointments.delete_many({"site": "none"}), set()),
    "read another database": (lambda client: client.other.things.find_one(), set()),
    "read the users": (lambda client: client.admin["system.users"].find_one(), set()),
    "make a user": (lambda client: client.admin.command("createUser", "eve", pwd="eve", roles=[]), set()),
    "stop the server": (lambda client: client.admin.command("shutdown"), set()),
    "read the log": (lambda client: client.admin.command("getLog", "global"), set()),
    "write a collection of its own": (lambda client: client.booking.mine.insert_one({}), set()),
    "change the validator": (
        lambda client: client.booking.command("collMod", "appointments", validator={}),
        {"operator"},
    ),
    "read the oplog": (lambda client: client.local["oplog.rs"].find_one(), {"relay"}),
    "write bookings": (_insert, {"booking_worker"}),
    "change bookings": (_update, {"booking_worker", "operator", "relay"}),
}


@pytest.mark.parametrize(
    ("deed", "user"),
    [
        (deed, user)
        for deed, (_, permitted) in FORBIDDEN.items()
        for user in MONGO_USERS
        if user not in permitted
    ],
)
def test_user_of_mongodb_may_do_nothing_else(guarded: Guarded, deed: str, user: str) -> None:
    """Whoever has the password of one process destroys no data, and reads no other database."""
    do, _ = FORBIDDEN[deed]
    with Client(guarded.mongo_uri(user)) as client:
        with pytest.raises(OperationFailure) as refused:
            do(client)
        assert refused.value.code == UNAUTHORIZED


@pytest.mark.parametrize("deed", ["drop an index", "read another database", "write bookings"])
def test_control_unguarded_mongodb_lets_everyone_do_it(servers: Servers, deed: str) -> None:
    """Control: without users, the same deeds succeed, or fail for another reason."""
    with servers.new_stack() as stack, Client(stack.env["MONGO_URI"]) as client:
        client.booking.appointments.create_index("site", name="one_booking_per_claim")
        FORBIDDEN[deed][0](client)
        client.drop_database("booking")


REFUSED_BY_REDIS = [
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("KEYS", "*"),
    ("ACL", "LIST"),
    ("SCRIPT", "FLUSH"),
    ("FUNCTION", "FLUSH"),
    ("MONITOR",),
    ("SHUTDOWN",),
    ("REPLICAOF", "localhost", "1"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("MODULE", "LIST"),
    ("GET", "other"),
    ("DEL", "other"),
    ("EVAL", "return redis.call('SET', KEYS[1], '1')", "1", "other"),
    ("EVAL", "return redis.call('FLUSHALL')", "0"),
]


@pytest.mark.parametrize("user", REDIS_USERS)
@pytest.mark.parametrize("command", REFUSED_BY_REDIS, ids=" ".join)
def test_user_of_redis_may_do_nothing_else(guarded: Guarded, command: tuple[str, ...], user: str) -> None:
    """Whoever has the password of one process ends no hold in bulk, and configures nothing."""
    with Redis.from_url(guarded.redis_url(user)) as client:
        with pytest.raises(ResponseError) as refused:
            client.execute_command(*command)
        assert isinstance(refused.value, NoPermissionError) or "ACL failure" in str(refused.value)


def test_control_unguarded_redis_lets_everyone_do_it(servers: Servers) -> None:
    """Control: without users, Redis carries the commands out."""
    with Redis.from_url(servers.new_redis().url) as client:
        assert client.execute_command("CONFIG", "GET", "maxmemory")
        assert client.execute_command("FLUSHALL")


def test_stores_answer_no_stranger(guarded: Guarded) -> None:
    """Without a password, or with a wrong one, neither server does anything."""
    uri = guarded.mongo_uri("relay")
    nameless = "mongodb://" + uri.partition("@")[2]
    wrong = uri.replace("relay:", "relay:x")
    for given in (nameless, wrong):
        with Client(given) as client, pytest.raises(OperationFailure):
            client.booking.appointments.find_one()
    url = guarded.redis_url("hold_worker")
    with Redis.from_url("redis://" + url.partition("@")[2]) as client, pytest.raises(AuthenticationError):
        client.ping()
    strange = url.replace("hold_worker:", "hold_worker:x")
    with Redis.from_url(strange) as client, pytest.raises(AuthenticationError):
        client.ping()


def test_operator_carries_out_every_command(least: Stack, guarded: Guarded) -> None:
    """The commands of an operator need the user `operator` alone; the grid, that all workers have stopped."""
    env = {**least.env, **guarded.env("operator", "operator")}
    republish = ("booking_worker.events", "--republish", "--since", "2020-01-01T00:00Z")
    assert _run(republish, env).returncode == 0
    exported = _run(("booking_worker.privacy", "export", "--name", "Ada"), env)
    assert exported.returncode == 0
    booked = json.loads(exported.stdout.splitlines()[0])
    erased = _run(("booking_worker.privacy", "erase", "--name", "Ada", "--yes"), env)
    assert (erased.returncode, "bookings erased" in erased.stdout) == (0, True)
    retained = _run(("booking_worker.privacy", "retain"), {**env, "RETAIN_NAMES_DAYS": "1"})
    assert retained.returncode == 0
    assert booked
    least.down()
    done = _run(("booking_worker.regrid", "--minutes", "15"), env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Done: start workers with SLOT_MINUTES=15." in done.stdout


def test_new_password_replaces_the_old_one(guarded: Guarded) -> None:
    """A user whose file was deleted gets another password, and the old one is worth nothing."""
    old = guarded.mongo_uri("relay")
    (guarded.secrets / "mongo_uri_relay").unlink()
    assert passwords.make(guarded.secrets) == ["mongo_uri_relay"]
    guarded.initiate()
    with Client(guarded.mongo_uri("relay")) as client:
        client.booking.appointments.find_one()
    with Client(old) as client, pytest.raises(OperationFailure):
        client.booking.appointments.find_one()


def _run(command: tuple[str, ...], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=Path(__file__).parents[2],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
