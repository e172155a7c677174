"""Map each operation of the hold worker to its use case and its reply."""

from hold_worker.service import Held, HoldService
from shared.contract import operations
from shared.contract.commands import PlaceHold, ReleaseHold
from shared.contract.envelope import Reply
from shared.contract.hints import HoldHint
from shared.contract.replies import Hold, HoldPlaced, HoldReleased
from shared.domain.booked_service import fields_of
from shared.worker.dispatcher import Handler, Handlers


def handlers(holds: HoldService) -> Handlers:
    """Return the handler of each operation."""
    return {
        operations.PLACE: Handler(holds.place, _placed, _placed_hint),
        operations.RELEASE: Handler(holds.release, lambda _: Reply(HoldReleased()), _released_hint),
    }


def _placed(held: Held) -> Reply[HoldPlaced]:
    command, slot_range = held.attempt.command, held.attempt.slot_range
    hold = Hold.model_construct(  # without validation: all values are validated already
        token=held.token,
        site=command.site,
        resources=held.attempt.resources,
        slot=slot_range.slot,
        durationMinutes=slot_range.duration,
        expiresAt=held.granted.expires_at,
        **fields_of(slot_range.service),
    )
    message = f"Slot held for {describe_seconds(held.seconds)}"
    return Reply(HoldPlaced.model_construct(message=message, hold=hold))


def _placed_hint(command: PlaceHold, held: Held) -> HoldHint:
    slot_range = held.attempt.slot_range
    return HoldHint.model_construct(
        type="extended" if held.granted.extended else "placed",
        site=command.site,
        resources=held.attempt.resources,
        slot=slot_range.slot,
        durationMinutes=slot_range.duration,
        expiresAt=held.granted.expires_at,
        **fields_of(slot_range.service),
    )


def _released_hint(command: ReleaseHold, _: None) -> HoldHint:
    return HoldHint(type="released", site=command.site)


def describe_seconds(seconds: int) -> str:
    """Return `5 minutes` for a whole number of minutes, otherwise for example `90 seconds`."""
    count, unit = (seconds // 60, "minute") if seconds and seconds % 60 == 0 else (seconds, "second")
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
