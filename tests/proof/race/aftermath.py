"""Follow up a race: book held slots, send late requests, read the winners, cancel and release.

Cancelling frees the slot for another race, and leaves nothing taken.
"""

from collections.abc import Sequence

from tests.proof.race.exchanges import Exchange, Request
from tests.proof.race.options import Options
from tests.proof.race.plan import Planner
from tests.proof.race.runner import RaceRunner


async def follow_up(
    slot: str, raced: Sequence[Exchange], options: Options, planner: Planner, runner: RaceRunner
) -> None:
    """Send, one after the other, the requests whose answers follow from the race for `slot`."""
    exchanges = list(raced)

    async def send(request: Request) -> None:
        exchanges.append(await runner.send(request))

    for held in (exchange for exchange in raced if exchange.granted):
        if any(exchange.confirmed and exchange.rivals(held) for exchange in exchanges):
            continue
        wanted = held.request.resources
        await send(planner.book("stranger", slot, wanted))
        own = {"patientName": held.request.patient, "holdToken": str(held.request.body["holdToken"])}
        await send(planner.book("claim", slot, wanted, **own))
    # A request for all resources conflicts with every winner.
    await send(planner.book("late", slot, planner.resources))
    if options.holds:
        await send(planner.hold("late", slot, planner.resources))
    for appointment_id in confirmed_ids(exchanges):
        for via in options.transports:
            await send(planner.read(slot, appointment_id, via))


def confirmed_ids(exchanges: Sequence[Exchange]) -> list[str]:
    found = [appointment_id(exchange) for exchange in exchanges if exchange.confirmed]
    return [known for known in found if known is not None]


def appointment_id(exchange: Exchange) -> str | None:
    match exchange.reply.body:
        case {"appointment": {"id": str(known)}} if known:
            return known
        case _:
            return None


async def clean_up(
    slot: str, raced: Sequence[Exchange], planner: Planner, runner: RaceRunner, *, final: bool
) -> None:
    """Cancel every booking of the slot, also those with a lost answer, and release the holds."""
    ids = set(confirmed_ids(raced))
    for resource in planner.resources:
        ids |= _listed(await runner.send(planner.window("find", "list", slot, resource)))
    for id in sorted(ids):
        await runner.send(planner.cancel(slot, id))
    for held in (exchange for exchange in raced if exchange.request.kind == "hold"):
        if held.granted or held.reply.outcome == "unknown":
            await runner.send(planner.release(held.request))
    if final:
        for resource in planner.resources:
            await runner.send(planner.window("free", "slots", slot, resource))


def _listed(found: Exchange) -> set[str]:
    match found.reply.body:
        case {"appointments": list(appointments)}:
            return {str(each["id"]) for each in appointments if isinstance(each, dict) and "id" in each}
        case _:
            return set()
