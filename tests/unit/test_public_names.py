"""The public names of `slotkeeper`, which is `shared` in this tree."""

import pytest

import shared
import shared.client

NAMES = [
    "Appointment",
    "AppointmentCancelled",
    "BookAppointment",
    "Booked",
    "BookingClient",
    "BookingEvent",
    "Change",
    "Conflict",
    "EventPlace",
    "GridFound",
    "Hold",
    "HoldsUnreachable",
    "InvalidRequest",
    "KeyReused",
    "MoveAppointment",
    "NoSuchAppointment",
    "NoSuchHold",
    "NotExecuted",
    "NotFound",
    "OutcomeUnknown",
    "PlaceHold",
    "PreconditionFailed",
    "Refused",
    "ReleaseHold",
    "SlotAlreadyBooked",
    "SlotHeld",
    "TakenSlot",
]


def test_the_public_names_are_these() -> None:
    """A name that others may use is neither dropped nor added by accident; the list is sorted."""
    assert shared.__all__ == NAMES == sorted(NAMES)


def test_the_package_hands_on_what_the_client_has() -> None:
    """Each public name can be imported from the package itself."""
    for name in NAMES:
        assert getattr(shared, name) is getattr(shared.client, name)


@pytest.mark.parametrize("name", ["subjects", "command_client", "Nothing", "__wrapped__"])
def test_no_other_name_is_handed_on(name: str) -> None:
    """What the client itself imports is not public by that."""
    with pytest.raises(AttributeError):
        getattr(shared, name)
