"""NATS subjects of holds. Each handler calls one use case and says what to answer."""

from faststream.nats import NatsBroker

from hold_worker.service import HoldService
from shared.contract import subjects
from shared.contract.commands import AskReady, PlaceHold, ReleaseHold
from shared.contract.envelope import Reply
from shared.contract.many import PlaceMany
from shared.contract.replies import Hold, HoldPlaced, HoldReleased, Readiness
from shared.process.health import AskReadiness
from shared.worker.answering import Each, current_attempt
from shared.worker.messages import decode


def register(broker: NatsBroker, service: HoldService, ask_readiness: AskReadiness) -> None:
    """Declare the subscribers on `broker`."""
    group = subjects.HOLD_GROUP

    async def place_hold(command: PlaceHold) -> Reply[HoldPlaced]:
        attempt = current_attempt.get()
        held = await service.place_hold(command, attempt.deadline, asked_at=attempt.asked_at)
        hold = Hold(
            token=held.token,
            site=command.site,
            resources=command.resources,
            slot=held.span.slot,
            durationMinutes=held.span.duration,
            expiresAt=held.expires_at,
        )
        return Reply(HoldPlaced(message=f"Slot held for {describe_seconds(held.seconds)}", hold=hold))

    broker.subscriber(subjects.PLACE_HOLD, queue=group, decoder=decode(PlaceHold), no_reply=True)(place_hold)

    @broker.subscriber(subjects.PLACE_MANY, queue=group, decoder=decode(PlaceMany), no_reply=True)
    async def place_many(many: PlaceMany) -> Each:
        return Each(many, place_hold)

    @broker.subscriber(subjects.RELEASE_HOLD, queue=group, decoder=decode(ReleaseHold), no_reply=True)
    async def release_hold(command: ReleaseHold) -> Reply[HoldReleased]:
        attempt = current_attempt.get()
        await service.release_hold(command, attempt.deadline, asked_at=attempt.asked_at)
        return Reply(HoldReleased())

    @broker.subscriber(subjects.HOLD_READY, decoder=decode(AskReady), no_reply=True)
    async def ready(command: AskReady) -> Reply[Readiness]:
        readiness = await ask_readiness()
        return Reply(readiness, 200 if readiness.ready else 503)


def describe_seconds(seconds: int) -> str:
    """`5 minutes` where the minutes are whole, else `90 seconds`."""
    count, unit = (seconds // 60, "minute") if seconds and seconds % 60 == 0 else (seconds, "second")
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
