"""The ids of refused moves that a booking keeps are bounded."""

from shared.contract.commands import BookAppointment
from shared.domain.booking import MOST_REFUSED_MOVES, Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid

ASKED_AT = 1_893_456_000_000


def test_refused_moves_of_one_instant_are_bounded() -> None:
    """However many moves of one `askedAt` are refused, few ids are kept, and every id stays refused."""
    command = BookAppointment.model_validate({"slot": "2031-05-04T09:00:00Z", "patientName": "Ada"})
    booking = Booking.new(
        command, span := Grid(5).slot_range(command), Claims.of(command, span), Digests(b"secret")
    )
    ids = [f"move-{number}" for number in range(3 * MOST_REFUSED_MOVES)]
    for id in ids:
        if not booking.refuses(id, ASKED_AT):
            booking = booking.refusing(id, ASKED_AT)
        assert len(booking.refused_moves) <= MOST_REFUSED_MOVES
    assert all(booking.refuses(id, ASKED_AT) for id in ids)
    assert not booking.refuses("another", ASKED_AT + 1)
