"""Workers that are killed with commands in flight, and the answers that their callers get."""

import asyncio

from tests.callers import Answer
from tests.integration.breakable import http_caller, start_gateway, until
from tests.servers import Servers
from tests.slots import fresh


async def kill_with_commands_in_flight(
    servers: Servers, *, timeout: float, gateway: str
) -> tuple[list[Answer], str]:
    """Book with two workers, kill the one that is stuck, and return the answers and the gateway's log.

    The commands of the stuck worker stay in flight until it is killed, however slow the machine is.
    """
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS=str(timeout)) as stack:
        stuck = stack.start("booking_worker", without="stuck_store")
        stack.start("booking_worker")
        stack.start("hold_worker")
        serving = start_gateway(stack, without=gateway)
        stack.wait_ready()
        async with http_caller(stack) as caller:
            bookings: list[asyncio.Task[Answer]] = []

            def inserts_stuck() -> int:
                return stuck.log.count("insert_delayed")

            # Send one booking after the other, so that each has its own message, until both workers got some.
            while not (inserts_stuck() and any(booking.done() for booking in bookings)):
                before = inserts_stuck()
                booking = asyncio.create_task(caller.book(fresh()))
                bookings.append(booking)

                def is_taken(booking: asyncio.Task[Answer] = booking, before: int = before) -> bool:
                    return booking.done() or inserts_stuck() > before

                await until(is_taken, "the booking is answered, or the stuck worker has it")
            stuck.kill()
            return await asyncio.gather(*bookings), serving.log


async def test_commands_of_a_killed_worker_are_booked_by_another(servers: Servers) -> None:
    """If a worker is killed with commands in flight, the gateway retries them and every caller gets 201."""
    answers, log = await kill_with_commands_in_flight(servers, timeout=6, gateway="")
    assert {answer.status for answer in answers} == {201}
    assert "attempt_unanswered" in log


async def test_without_retries_commands_of_a_killed_worker_get_504(servers: Servers) -> None:
    """Control: a gateway without retries answers the commands in flight with 504."""
    answers, _ = await kill_with_commands_in_flight(servers, timeout=1, gateway="no_repeats")
    assert {answer.status for answer in answers} == {201, 504}
