"""What the hold worker does for each operation: the use case that decides it, and what it answers."""

from hold_worker.service import Held, HoldService
from shared.contract import operations
from shared.contract.commands import PlaceHold, ReleaseHold
from shared.contract.envelope import Reply
from shared.contract.hints import HoldHint
from shared.contract.replies import Hold, HoldPlaced, HoldReleased
from shared.worker.dispatcher import Handler, Handlers


def handlers(holds: HoldService) -> Handlers:
    """The handlers of a worker with these use cases."""
    return {
        operations.PLACE: Handler(holds.place, _placed, _placed_hint),
        operations.RELEASE: Handler(holds.release, lambda _: Reply(HoldReleased()), _released_hint),
    }


def _placed(held: Held) -> Reply[HoldPlaced]:
    hold = Hold.model_construct(  # nothing of it has to be checked again
        token=held.token,
        site=held.command.site,
        resources=held.command.resources,
        slot=held.slot_range.slot,
        durationMinutes=held.slot_range.duration,
        expiresAt=held.expires_at,
    )
    message = f"Slot held for {describe_seconds(held.seconds)}"
    return Reply(HoldPlaced.model_construct(message=message, hold=hold))


def _placed_hint(command: PlaceHold, held: Held) -> HoldHint:
    return HoldHint.model_construct(
        type="extended" if held.extended else "placed",
        site=command.site,
        resources=command.resources,
        slot=held.slot_range.slot,
        durationMinutes=held.slot_range.duration,
        expiresAt=held.expires_at,
    )


def _released_hint(command: ReleaseHold, _: None) -> HoldHint:
    return HoldHint(type="released", site=command.site)


def describe_seconds(seconds: int) -> str:
    """`5 minutes` where the minutes are whole, else `90 seconds`."""
    count, unit = (seconds // 60, "minute") if seconds and seconds % 60 == 0 else (seconds, "second")
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
