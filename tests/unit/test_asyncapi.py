"""AsyncAPI describes the subjects, from the subscribers that serve them."""

from collections.abc import Callable
from typing import Any

import pytest
from faststream.nats import NatsBroker
from faststream.specification import AsyncAPI

import booking_worker.handlers
import hold_worker.handlers
from shared.contract import subjects
from shared.contract.commands import (
    AskGrid,
    AskReady,
    BookAppointment,
    CancelAppointment,
    Command,
    GetAppointment,
    GetHistory,
    ListAppointments,
    ListSlots,
    MoveAppointment,
    PlaceHold,
    ReleaseHold,
)
from shared.contract.many import BookMany, CancelMany, MoveMany, PlaceMany


def describe(register: Callable[..., None]) -> dict[str, Any]:
    broker = NatsBroker(apply_types=False)  # as a worker's
    register(broker, None, None)
    document: dict[str, Any] = AsyncAPI(broker).to_specification().to_jsonable()
    return document


@pytest.mark.parametrize(
    ("register", "group", "commands"),
    [
        (
            booking_worker.handlers.register,
            subjects.BOOKING_GROUP,
            {
                subjects.BOOK: BookAppointment,
                subjects.BOOK_MANY: BookMany,
                subjects.CANCEL: CancelAppointment,
                subjects.CANCEL_MANY: CancelMany,
                subjects.MOVE: MoveAppointment,
                subjects.MOVE_MANY: MoveMany,
                subjects.GET_APPOINTMENT: GetAppointment,
                subjects.GET_HISTORY: GetHistory,
                subjects.LIST_APPOINTMENTS: ListAppointments,
                subjects.LIST_SLOTS: ListSlots,
                subjects.GET_GRID: AskGrid,
                subjects.BOOKING_READY: AskReady,
            },
        ),
        (
            hold_worker.handlers.register,
            subjects.HOLD_GROUP,
            {
                subjects.PLACE_HOLD: PlaceHold,
                subjects.PLACE_MANY: PlaceMany,
                subjects.RELEASE_HOLD: ReleaseHold,
                subjects.HOLD_READY: AskReady,
            },
        ),
    ],
)
def test_each_subject_is_described_with_its_command(
    register: Callable[..., None], group: str, commands: dict[str, type[Command]]
) -> None:
    """A worker's document has its subjects, their queue group, and the fields of each command."""
    document = describe(register)
    channels = {channel["address"]: channel for channel in document["channels"].values()}
    assert set(channels) == set(commands)
    for subject, command in commands.items():
        # Whether it is ready is asked of every worker, all else of one of them.
        assert channels[subject]["bindings"]["nats"].get("queue") == (None if command is AskReady else group)
        (message,) = channels[subject]["messages"].values()
        described = document["components"]["messages"][message["$ref"].removeprefix("#/components/messages/")]
        assert described["payload"] == {"$ref": f"#/components/schemas/{command.__name__}"}
        schema = document["components"]["schemas"][command.__name__]
        fields = {field.alias or name for name, field in command.model_fields.items()}
        assert set(schema["properties"]) == fields


@pytest.mark.parametrize(
    ("register", "many", "one"),
    [
        (booking_worker.handlers.register, "BookMany", "BookAppointment"),
        (booking_worker.handlers.register, "CancelMany", "CancelAppointment"),
        (booking_worker.handlers.register, "MoveMany", "MoveAppointment"),
        (hold_worker.handlers.register, "PlaceMany", "PlaceHold"),
    ],
)
def test_a_message_of_many_is_described_down_to_its_commands(
    register: Callable[..., None], many: str, one: str
) -> None:
    """The document says how many commands a message may have, and what each of them is."""
    schemas = describe(register)["components"]["schemas"]
    commands = schemas[many]["properties"]["commands"]
    assert (commands["minItems"], commands["maxItems"]) == (1, 128)
    item = schemas[commands["items"]["$ref"].rpartition("/")[2]]
    assert set(item["properties"]) == {"command", "deadline", "first", "requestId"}
    assert item["properties"]["command"] == {"$ref": f"#/components/schemas/{one}"}
