"""After the race: holds that won are claimed, a latecomer is refused, and the winners are read back."""

from collections.abc import Sequence

from tests.concurrency.operations import Ask, Operation
from tests.concurrency.options import Options
from tests.concurrency.plan import Planner
from tests.concurrency.race import Recorder


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
