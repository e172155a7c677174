"""NATS subjects and queue groups: the names that callers and workers agree on.

A command goes to one worker of its group. Whether it is ready, every worker says for itself, without a group.
"""

BOOKING_GROUP = "booking_worker"
BOOK = "booking.v1.book"
BOOK_MANY = "booking.v1.book_many"
CANCEL = "booking.v1.cancel"
CANCEL_MANY = "booking.v1.cancel_many"
MOVE = "booking.v1.move"
MOVE_MANY = "booking.v1.move_many"
GET_APPOINTMENT = "booking.v1.get"
GET_HISTORY = "booking.v1.history"
LIST_APPOINTMENTS = "booking.v1.list"
LIST_SLOTS = "booking.v1.slots"
GET_GRID = "booking.v1.grid"
BOOKING_READY = "booking.v1.ready"

HOLD_GROUP = "hold_worker"
PLACE_HOLD = "hold.v1.place"
PLACE_MANY = "hold.v1.place_many"
RELEASE_HOLD = "hold.v1.release"
HOLD_READY = "hold.v1.ready"

MANY = {BOOK_MANY, CANCEL_MANY, MOVE_MANY, PLACE_MANY}
"""Those whose messages carry many commands."""

READS = {GET_APPOINTMENT, GET_HISTORY, LIST_APPOINTMENTS, LIST_SLOTS, GET_GRID}
"""Those whose commands change nothing."""
