"""Workers with one safeguard removed: the controls that show that a test can fail.

python -m tests.sabotage SAFEGUARD,... SERVICE     for example: no_index_check booking_worker
"""

import asyncio
import hashlib
import runpy
import sys
from collections.abc import Callable
from math import inf
from typing import Any

import structlog
from nats.protocol.parser import Parser
from pymongo import WriteConcern

from booking_worker.bookings import book as decisions
from booking_worker.bookings.key_finality import Refusals
from booking_worker.bookings.lately_booked import LatelyBooked
from booking_worker.bookings.move_finality import MoveRefusals
from gateway.http.presence import Presence
from shared.client import attempts
from shared.client import command_client as client
from shared.contract.deadline import Deadline
from shared.contract.errors import Conflict
from shared.process import logs, nats_wire
from shared.process.nats_wire import GuardedClient
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.bookings import BookingStore, Found
from shared.stores.mongo.indexes import INDEXES
from shared.stores.mongo.meta import settle
from shared.stores.mongo.schema import Schema
from shared.stores.mongo.writes import WriteResult
from shared.stores.redis import server as redis_server
from shared.stores.redis.intents import HoldState, IntentStore
from shared.worker import attempts as worker_attempts
from shared.worker import batcher, broker, flow_control
from shared.worker.duty import Duty
from tests import sabotaged_changes, sabotaged_events


async def _nothing(*_: Any) -> None:
    """In the place of what a safeguard does."""


def no_index_check() -> None:
    """Serve whatever the indexes are, and insert whatever is booked."""

    async def believe(schema: Schema) -> None:
        schema._meta = await settle(schema._database, schema._meta or schema._slot_minutes)
        schema._valid_until, schema._problem = inf, None

    Schema._check = believe  # type: ignore[assignment,method-assign]
    LatelyBooked.has_any = lambda *_: False  # type: ignore[method-assign]


def write_concern_one() -> None:
    """Acknowledge what the primary alone has written."""
    vars(mongodb)["WriteConcern"] = lambda _w, **more: WriteConcern(1, **more)


def no_read_barrier() -> None:
    """Read what the server that is asked has, primary or not."""

    async def find(
        store: BookingStore, any_of: list[dict[str, Any]], _timeout: float
    ) -> list[dict[str, Any]]:
        return await store._committed.find({"$or": any_of}).to_list(None)

    BookingStore._find_behind_barrier = find  # type: ignore[assignment,method-assign]


def no_drain() -> None:
    """Stop without waiting for what is in flight."""
    broker.drain = _nothing  # type: ignore[assignment]


def no_hold_check() -> None:
    """Book whatever is held."""

    async def pass_all(_store: IntentStore, intents: Any, **_: Any) -> list[HoldState]:
        return [HoldState.FREE for _ in intents]

    IntentStore.register_intents = pass_all  # type: ignore[assignment,method-assign]


def no_intents() -> None:
    """Grant holds whatever bookings are under way."""
    _change_script("place_holds", "being_booked = 1", "being_booked = 0")


def no_key_lookup() -> None:
    """Answer a refused booking without looking for an earlier one with its key."""

    no_final_refusals()  # which looks for it too
    find = BookingStore.find

    async def find_no_keys(*args: Any, **more: Any) -> Found:
        return await find(*args, **{**more, "keys": ()})

    BookingStore.find = find_no_keys  # type: ignore[method-assign]


def no_final_refusals() -> None:
    """Refuse without keeping out an earlier attempt that comes late."""

    async def believe(_self: Any, judged: dict[Any, Any], _deadline: Deadline) -> dict[Any, Any]:
        return judged

    Refusals.make_final = believe  # type: ignore[assignment,method-assign]
    MoveRefusals.make_final = believe  # type: ignore[assignment,method-assign]


def no_asked_at() -> None:
    """Take each attempt for asked for when it comes, whatever it says."""
    vars(worker_attempts)["accept_asked_at"] = lambda _asked_at, received_at: received_at


def no_deadline() -> None:
    """Execute a command however late it is."""
    Deadline.check = lambda self: None  # type: ignore[method-assign]
    Deadline.remaining = 5.0  # type: ignore[assignment]


def slow_store() -> None:
    """No safeguard, but a MongoDB that takes two seconds: commands pile up in the worker's hands."""
    _delay_inserts(2)


def sluggish_store() -> None:
    """No safeguard, but a MongoDB that takes half a second: bookings are long under way."""
    _delay_inserts(0.5)


def small_worker() -> None:
    """No safeguard, but a worker that writes 32 bookings at a time, and has room for 250 commands."""
    _delay_inserts(0.25)
    vars(batcher)["LARGEST_BATCH"] = 32
    vars(flow_control)["MOST_IN_FLIGHT"] = 250


def stuck_store() -> None:
    """No safeguard, but a MongoDB that does not answer in any test's time: commands stay in flight."""
    _delay_inserts(3600)


def extension_touches_ttl() -> None:
    """Prolong what was granted before as soon as more is placed."""
    _change_script(
        "place_holds",
        "elseif granted == '' then",
        "elseif granted ~= '' then redis.call('PEXPIRE', KEYS[first + i], ARGV[a + 4] + 60000) else",
    )


def no_release_mark() -> None:
    """Place and grant holds that were asked for before their token was released."""
    for name in ("place_holds", "grant_holds"):
        _change_script(name, "<= released_at(token)", "< 0")


def no_claim_limit() -> None:
    """Let a token hold as much as it asks for."""
    _change_script("place_holds", "count_held(token, now) + new > most", "false")


def _change_script(name: str, old: str, new: str) -> None:
    source = redis_server._SOURCES[name]
    assert old in source, f"{name} does not say {old}"
    redis_server._SOURCES[name] = source = source.replace(old, new)
    redis_server._DIGESTS[name] = hashlib.sha1(source.encode()).hexdigest()  # noqa: S324


def _delay_inserts(seconds: float) -> None:
    insert_many = BookingStore.insert_many

    async def slow(*args: Any, **more: Any) -> Any:
        structlog.get_logger().info("insert_delayed")
        await asyncio.sleep(seconds)
        return await insert_many(*args, **more)

    BookingStore.insert_many = slow  # type: ignore[method-assign]


def no_leaving() -> None:
    """Stay in the queue groups of subjects that cannot be served."""
    Duty.serves = lambda *_: True  # type: ignore[method-assign]


def no_message_guard() -> None:
    """Read what comes from NATS as the client library does, until a message cannot be read."""
    for name in ("_process_msg", "_process_headers", "_read_loop"):
        delattr(GuardedClient, name)
    vars(nats_wire)["_GuardedParser"] = Parser


def late_refusal_ends() -> None:
    """Take the late refusal of an earlier attempt for the answer, though a later attempt is in flight."""
    settle = attempts.Attempts._settle

    def end(self: Any, answer: Any) -> Any:
        outcome = settle(self, answer)
        if isinstance(outcome, Conflict):
            raise outcome
        return outcome

    attempts.Attempts._settle = end  # type: ignore[method-assign]


def no_look_at_callers() -> None:
    """No safeguard, but gateways that repeat for callers who have left too."""

    async def stays(_presence: Presence) -> bool:
        return False

    Presence.has_left = stays  # type: ignore[assignment,method-assign]


def no_repeats() -> None:
    """Send a command once, and give up where its reply is lost."""
    attempts.ATTEMPTS = 1


def no_buffer_limit() -> None:
    """Keep what is sent while NATS is away, and send it once NATS is back: what nats-py does by default."""

    class Unaware:
        is_connected = True

        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

    async def connect(self: client.CommandClient) -> None:
        await self._connection.connect(**self._nats.connect)
        self._connection = Unaware(self._connection)  # type: ignore[assignment]
        for batches in self._batches.values():
            batches._connection = self._connection

    client.CommandClient.connect = connect  # type: ignore[method-assign]


def no_doubt() -> None:
    """Take a write that was not answered for one that was not executed."""
    insert_many = BookingStore.insert_many

    async def sure(*args: Any, **more: Any) -> list[WriteResult]:
        outcomes = await insert_many(*args, **more)
        return [WriteResult.NOT_EXECUTED if each is WriteResult.UNKNOWN else each for each in outcomes]

    BookingStore.insert_many = sure  # type: ignore[method-assign]


def no_log_filter() -> None:
    """Log exceptions with their texts, as a log does by default."""
    logs._describe_exception = structlog.processors.format_exc_info  # type: ignore[assignment]


def failing_store() -> None:
    """No safeguard, but a store that fails with all that it was to insert in its exception's text."""

    async def fail(_store: BookingStore, bookings: Any, **_: Any) -> Any:
        raise ValueError(f"cannot insert {bookings}")

    BookingStore.insert_many = fail  # type: ignore[assignment,method-assign]


def first_claim_only() -> None:
    """Keep bookings apart by the first of their claims alone, in a batch too."""
    INDEXES["one_booking_per_claim"]["key"] = {"site": 1, "claims.0": 1}

    def first_of_each_first_claim(requests: Any) -> tuple[list[Any], list[Any]]:
        firsts = {(each.booking.site, each.booking.claims.keys[0]): each for each in reversed(requests)}
        rivals = [each for each in requests if each not in firsts.values()]
        return list(firsts.values()), rivals

    vars(decisions)["first_of_each_claim"] = first_of_each_first_claim


_SABOTAGES: tuple[Callable[[], None], ...] = (
    no_index_check,
    write_concern_one,
    no_read_barrier,
    no_drain,
    no_hold_check,
    no_intents,
    extension_touches_ttl,
    no_release_mark,
    no_claim_limit,
    no_key_lookup,
    no_final_refusals,
    no_asked_at,
    no_deadline,
    slow_store,
    sluggish_store,
    small_worker,
    stuck_store,
    no_leaving,
    no_message_guard,
    late_refusal_ends,
    no_look_at_callers,
    no_repeats,
    no_buffer_limit,
    no_doubt,
    no_log_filter,
    failing_store,
    first_claim_only,
    sabotaged_changes.move_in_two_writes,
    sabotaged_changes.late_freeing,
    sabotaged_changes.no_compare_and_set,
    sabotaged_changes.history_apart,
    sabotaged_changes.holds_used_up_first,
    sabotaged_changes.secondary_reads,
    *sabotaged_events.SABOTAGES,
)
OF_GATEWAYS = frozenset({"late_refusal_ends", "no_look_at_callers"})
"""The safeguards of the client, which a gateway does without; those of workers are the others."""
SABOTAGES = {sabotage.__name__: sabotage for sabotage in _SABOTAGES}

if __name__ == "__main__":
    safeguards, service = sys.argv[1:]
    for safeguard in safeguards.split(","):
        SABOTAGES[safeguard]()
    runpy.run_module(service, run_name="__main__")
