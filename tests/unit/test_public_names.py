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
    "NameErased",
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
    "SlotNotOffered",
    "TakenSlot",
]


def test_public_names_are_stable() -> None:
    """No public name is dropped or added by accident; the list is sorted."""
    assert shared.__all__ == NAMES == sorted(NAMES)


def test_package_exports_the_names_of_the_client() -> None:
    """Every public name can be imported from the package itself."""
    for name in NAMES:
        assert getattr(shared, name) is getattr(shared.client, name)


@pytest.mark.parametrize("name", ["subjects", "command_client", "Nothing", "__wrapped__"])
def test_package_exports_no_other_name(name: str) -> None:
    """The client's own imports are not public."""
    with pytest.raises(AttributeError):
        getattr(shared, name)
