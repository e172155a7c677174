"""Workers that are killed with commands in flight: what their callers hear."""

import asyncio

from redis import Redis

from tests.callers import Answer
from tests.integration.breakable import http_caller, start_gateway, until
from tests.servers import Servers
from tests.slots import fresh


async def kill_with_commands_in_flight(
    servers: Servers, *, timeout: float, gateway: str
) -> tuple[list[Answer], str]:
    """Book 20 slots with two workers, and kill the one that finishes nothing: answers, and gateway's log.

    What that one has in flight stays there until it is killed, however slow the machine is.
    """
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS=str(timeout)) as stack:
        stuck = stack.start("booking_worker", without="stuck_store")
        stack.start("booking_worker")
        stack.start("hold_worker")
        serving = start_gateway(stack, without=gateway)
        stack.wait_ready()
        with Redis.from_url(stack.env["REDIS_URL"], decode_responses=True) as redis:
            async with http_caller(stack) as caller:
                bodies = [fresh() for _ in range(20)]
                bookings = {body["site"]: asyncio.create_task(caller.book(body)) for body in bodies}

                def is_all_in_flight_or_answered() -> bool:
                    return all(
                        booking.done() or any(redis.scan_iter(f"intents:{{{site}}}:*"))
                        for site, booking in bookings.items()
                    )

                await until(is_all_in_flight_or_answered, "each command is answered or in flight")
                stuck.kill()
                return await asyncio.gather(*bookings.values()), serving.log


async def test_what_a_killed_worker_had_in_flight_is_booked_by_another(servers: Servers) -> None:
    """SIGKILL with commands in flight: the gateway notices, asks again, and every caller hears 201."""
    answers, log = await kill_with_commands_in_flight(servers, timeout=6, gateway="")
    assert [answer.status for answer in answers] == [201] * 20
    assert "attempt_unanswered" in log


async def test_without_repeats_a_killed_worker_costs_answers(servers: Servers) -> None:
    """Control: a gateway that asks only once cannot say what became of the commands in flight."""
    answers, _ = await kill_with_commands_in_flight(servers, timeout=1, gateway="no_repeats")
    assert 504 in {answer.status for answer in answers}
