"""After the race: holds that won are claimed, a latecomer is refused, and the winners are read back.

After that they are cancelled, so that their slot can be raced for again, and nothing stays taken.
"""

from collections.abc import Sequence

from tests.proof.race.operations import Ask, Operation
from tests.proof.race.options import Options
from tests.proof.race.plan import Planner
from tests.proof.race.race import Recorder


async def settle(
    slot: str, raced: Sequence[Operation], options: Options, planner: Planner, recorder: Recorder
) -> None:
    """Do, one after the other, what must follow from how the race for `slot` ended."""
    operations = list(raced)

    async def ask(ask: Ask) -> None:
        operations.append(await recorder.ask(ask))

    for held in (operation for operation in raced if operation.granted):
        if any(operation.confirmed and operation.rivals(held) for operation in operations):
            continue
        wanted = held.ask.resources
        await ask(planner.book("stranger", slot, wanted))
        own = {"patientName": held.ask.patient, "holdToken": str(held.ask.body["holdToken"])}
        await ask(planner.book("claim", slot, wanted, **own))
    # Whoever wants all that there is meets every winner.
    await ask(planner.book("late", slot, planner.resources))
    if options.holds:
        await ask(planner.hold("late", slot, planner.resources))
    for appointment_id in confirmed_ids(operations):
        for via in options.transports:
            await ask(planner.read(slot, appointment_id, via))


def confirmed_ids(operations: Sequence[Operation]) -> list[str]:
    found = [appointment_id(operation) for operation in operations if operation.confirmed]
    return [known for known in found if known is not None]


def appointment_id(operation: Operation) -> str | None:
    match operation.answer.body:
        case {"appointment": {"id": str(known)}} if known:
            return known
        case _:
            return None


async def give_back(
    slot: str, raced: Sequence[Operation], planner: Planner, recorder: Recorder, *, for_good: bool
) -> None:
    """Cancel all that is booked then, whoever was told of it, and release what was held."""
    ids = set(confirmed_ids(raced))
    for resource in planner.resources:
        ids |= _listed(await recorder.ask(planner.window("find", "list", slot, resource)))
    for id in sorted(ids):
        await recorder.ask(planner.cancel(slot, id))
    for held in (operation for operation in raced if operation.ask.kind == "hold"):
        if held.granted or held.answer.outcome == "unknown":
            await recorder.ask(planner.release(held.ask))
    if for_good:
        for resource in planner.resources:
            await recorder.ask(planner.window("free", "slots", slot, resource))


def _listed(found: Operation) -> set[str]:
    match found.answer.body:
        case {"appointments": list(appointments)}:
            return {str(each["id"]) for each in appointments if isinstance(each, dict) and "id" in each}
        case _:
            return set()
