"""After the race: a hold that won is claimed, a latecomer is refused, and the winner is read back."""

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

    held = next((operation for operation in raced if operation.granted), None)
    if held and not any(operation.confirmed for operation in raced):
        await ask(planner.book("stranger", slot))
        token = str(held.ask.body["holdToken"])
        await ask(planner.book("claim", slot, patient=held.ask.patient, token=token))
    await ask(planner.book("late", slot))
    if options.holds:
        await ask(planner.hold("late", slot))
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
