"""Refusals: every answer that is not 2xx, each with its status and its sentence for the caller.

Refused
├── InvalidRequest 400
├── Forbidden 403
├── NotFound 404            NoSuchAppointment, NoSuchHold, NoSuchWebhook
├── MethodNotAllowed 405
├── TooSlow 408
├── Conflict 409            SlotAlreadyBooked, SlotHeld, AppointmentCancelled
├── PreconditionFailed 412
├── TooLarge 413
├── UriTooLong 414
├── UnsupportedMediaType 415
├── NoSuchRange 416
├── KeyReused 422
├── NotExecuted 503         nothing was done and nothing will be
│   ├── repeatable          NoResponders, NoPrimary, NotReady, BeingBooked, Changing
│   └── final               Overloaded, DeadlinePassed, HoldsUnreachable, AskedEarlier, an unknown class
└── OutcomeUnknown 504      it may have been done; repeating with the same key is safe

Programs know a refusal by the name of its class, which goes with it as a header; its sentence is for people.
"""

from typing import ClassVar, Literal

from pydantic import BaseModel

from .headers import ERROR_TYPE, RETRY_AFTER
from .replies import Appointment

RETRY_AFTER_SECONDS = "1"

Outcome = Literal["not_executed", "unknown"]


class ErrorBody(BaseModel):
    error: str
    outcome: Outcome | None = None
    appointment: Appointment | None = None


class Refused(Exception):
    """A request that was not done, or is not known to be; some tell of the `appointment` in its way."""

    status: ClassVar[int] = 400
    message: ClassVar[str] = "Request refused"
    outcome: ClassVar[Outcome | None] = None
    command: object = None
    """The command that was refused, if it could be read: by it a log line says what was asked."""

    def __init__(self, message: str | None = None, *, appointment: Appointment | None = None) -> None:
        self.text = message or self.message
        self.appointment = appointment
        super().__init__(self.text)

    @property
    def body(self) -> ErrorBody:
        return ErrorBody(error=self.text, outcome=self.outcome, appointment=self.appointment)

    @property
    def headers(self) -> dict[str, str]:
        retry = {RETRY_AFTER: RETRY_AFTER_SECONDS} if self.outcome else {}
        return {ERROR_TYPE: type(self).__name__, **retry}

    @staticmethod
    def from_wire(
        status: int, text: str, error_type: str | None, appointment: Appointment | None = None
    ) -> "Refused":
        """The refusal that a reply stands for; of its family where the type is not a known one."""
        family = _FAMILIES.get(status, OutcomeUnknown if status >= 500 else Refused)
        exact = (kind for kind in family.__subclasses__() if kind.__name__ == error_type)
        return next(exact, family)(text, appointment=appointment)


class InvalidRequest(Refused):
    status = 400


class Forbidden(Refused):
    """The caller may not use this part of the API."""

    status = 403
    message = "This part of the API answers requests of its own host only"


class NotFound(Refused):
    status = 404
    message = "Not found"


class NoSuchAppointment(NotFound):
    message = "No such appointment"


class NoSuchHold(NotFound):
    message = "No such hold"


class NoSuchWebhook(NotFound):
    message = "No such webhook"


class MethodNotAllowed(Refused):
    status = 405
    message = "Method not allowed"


class TooSlow(Refused):
    status = 408
    message = "Request was not complete in time; nothing was done"


class Conflict(Refused):
    status = 409


class SlotAlreadyBooked(Conflict):
    message = "Slot already booked"


class SlotHeld(Conflict):
    message = "Slot is currently held by another user"


class AppointmentCancelled(Conflict):
    message = "Appointment is cancelled"


class PreconditionFailed(Refused):
    """The appointment has another version than the caller requires."""

    status = 412
    message = "The appointment was changed or cancelled since the version in If-Match (ifVersion)"


class TooLarge(Refused):
    status = 413
    message = "Request is larger than 16 KiB"


class UriTooLong(Refused):
    status = 414
    message = "URI is longer than 16 KiB"


class NoSuchRange(Refused):
    status = 416
    message = "Range lies beyond the end of the file"


class UnsupportedMediaType(Refused):
    status = 415
    message = "Content-Type must be application/json"


class KeyReused(Refused):
    status = 422
    message = "Idempotency-Key was used for a different request"


class NotExecuted(Refused):
    """Nothing was done and nothing will be; `repeatable` if the client sends another attempt by itself.

    `settles_all`: it says so of all attempts of the request, whatever became of their answers.
    """

    status = 503
    message = "Nothing was done; try again"
    outcome = "not_executed"
    repeatable: ClassVar[bool] = False
    settles_all: ClassVar[bool] = False


class HoldsUnreachable(NotExecuted):
    """Redis does not answer: no hold was placed, and none could be read."""

    message = "Holds are not available at the moment; nothing was done"


class NoPrimary(NotExecuted):
    """MongoDB has no primary, or none that can be reached: until one is elected, or for longer."""

    message = "The booking database cannot be reached; nothing was done"
    repeatable = True


class NotReady(NotExecuted):
    """The worker cannot confirm anything at the moment; another worker may."""

    message = "The booking database is not ready; nothing was done"
    repeatable = True


class BeingBooked(NotExecuted):
    """Somebody is booking the slot at this moment; it is not known yet whether it can be held."""

    message = "The slot is being booked at the moment; nothing was done"
    repeatable = True


class Changing(NotExecuted):
    """The row that the command concerns was changed by other commands while it was decided."""

    message = "The appointment or slot is being changed by other requests; nothing was done"
    repeatable = True


class NoResponders(NotExecuted):
    """The command did not reach a worker; one may be there soon."""

    message = "No worker is free to answer; nothing was done"
    repeatable = True


class Overloaded(NotExecuted):
    """More requests are in flight than the process takes."""

    message = "Too many requests at once; nothing was done"


class DeadlinePassed(NotExecuted):
    """The command reached the process that executes it after its deadline."""

    message = "The deadline passed before the request was started"


class AskedEarlier(NotExecuted):
    """Another request for the same, asked at the same time or later, was answered already."""

    message = "Another request for the same, asked at the same time or later, was answered; nothing was done"
    settles_all = True


class OutcomeUnknown(Refused):
    status = 504
    message = "The outcome is not known; repeating with the same key is safe"
    of_a_read: ClassVar[str] = "The answer did not come in time; ask again"
    """The sentence for a caller who only asked: nothing can have been changed."""
    of_no_key: ClassVar[str] = "The outcome is not known; look before repeating what had no key or token"
    """The sentence for a caller whose repeat would be another request."""
    outcome = "unknown"


_FAMILIES: dict[int, type[Refused]] = {
    family.status: family
    for family in (
        InvalidRequest,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        TooSlow,
        Conflict,
        PreconditionFailed,
        TooLarge,
        UnsupportedMediaType,
        KeyReused,
        NotExecuted,
        OutcomeUnknown,
    )
}
