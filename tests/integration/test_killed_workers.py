"""Workers that are killed with commands in flight: what their callers hear."""

import asyncio

from tests.callers import Answer
from tests.integration.breakable import http_caller, start_gateway, until
from tests.servers import Servers
from tests.slots import fresh


async def kill_with_commands_in_flight(
    servers: Servers, *, timeout: float, gateway: str
) -> tuple[list[Answer], str]:
    """Book with two workers, and kill the one that finishes nothing: the answers, and the gateway's log.

    What that one has in flight stays there until it is killed, however slow the machine is.
    """
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS=str(timeout)) as stack:
        stuck = stack.start("booking_worker", without="stuck_store")
        stack.start("booking_worker")
        stack.start("hold_worker")
        serving = start_gateway(stack, without=gateway)
        stack.wait_ready()
        async with http_caller(stack) as caller:
            bookings: list[asyncio.Task[Answer]] = []

            def stuck_has() -> int:
                return stuck.log.count("insert_delayed")

            # One after the other, each in a message of its own, until each worker has got some.
            while not (stuck_has() and any(booking.done() for booking in bookings)):
                before = stuck_has()
                booking = asyncio.create_task(caller.book(fresh()))
                bookings.append(booking)

                def is_taken(booking: asyncio.Task[Answer] = booking, before: int = before) -> bool:
                    return booking.done() or stuck_has() > before

                await until(is_taken, "it is answered, or the stuck worker has it")
            stuck.kill()
            return await asyncio.gather(*bookings), serving.log


async def test_what_a_killed_worker_had_in_flight_is_booked_by_another(servers: Servers) -> None:
    """SIGKILL with commands in flight: the gateway notices, asks again, and every caller hears 201."""
    answers, log = await kill_with_commands_in_flight(servers, timeout=6, gateway="")
    assert {answer.status for answer in answers} == {201}
    assert "attempt_unanswered" in log


async def test_without_repeats_a_killed_worker_costs_answers(servers: Servers) -> None:
    """Control: a gateway that asks only once cannot say what became of the commands in flight."""
    answers, _ = await kill_with_commands_in_flight(servers, timeout=1, gateway="no_repeats")
    assert {answer.status for answer in answers} == {201, 504}
