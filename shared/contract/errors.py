"""Refusals: all replies that are not 2xx. A refusal has a status and a sentence for the caller.

Refused
├── InvalidRequest 400
├── Unauthorized 401
├── Forbidden 403
├── NotFound 404            NoSuchAppointment, NoSuchHold, NoSuchSchedule, NoSuchWebhook
├── MethodNotAllowed 405
├── TooSlow 408
├── Conflict 409            SlotAlreadyBooked, SlotHeld, SlotNotOffered, AppointmentCancelled, NameErased,
│                           TooLateToChange, WebhookDisabled
├── PreconditionFailed 412
├── TooLarge 413
├── UriTooLong 414
├── UnsupportedMediaType 415
├── NoSuchRange 416
├── KeyReused 422
├── TooMany 429             TooManyRequests, TooManyHolds, TooManyBookings
├── NotExecuted 503         the attempt was not and will not be executed
│   ├── repeatable          NoResponders, NoPrimary, NotReady, BeingBooked, Changing
│   └── not repeatable      Overloaded, DeadlinePassed, HoldsUnreachable, AskedEarlier, an unknown class
└── OutcomeUnknown 504      the attempt may have been executed; a retry with the same key is safe

Programs recognise a refusal by its class name, in the header `Error-Type`. The sentence is for people.
"""

from typing import ClassVar, Literal

from pydantic import BaseModel

from .headers import AUTHENTICATE, ERROR_TYPE, RATE_LIMIT, RATE_LIMIT_POLICY, RETRY_AFTER
from .replies import Appointment

RETRY_AFTER_SECONDS = "1"

Outcome = Literal["not_executed", "unknown"]
Reason = Literal["closed", "too_soon", "too_far", "not_a_start", "unknown_resource"]
"""Why an enforced schedule does not offer a slot."""


class ErrorBody(BaseModel):
    error: str
    outcome: Outcome | None = None
    appointment: Appointment | None = None
    reason: Reason | None = None


class Refused(Exception):
    """A request that was not executed, or may not have been. Some refusals have the `appointment`."""

    status: ClassVar[int] = 400
    message: ClassVar[str] = "Request refused"
    outcome: ClassVar[Outcome | None] = None
    varies: ClassVar[bool] = False
    """Whether two refusals with the same sentence may differ."""
    retry_after: str | None = None
    """The value of `Retry-After`, in seconds."""
    command: object = None
    """The refused command, if it could be parsed; for the log line."""

    def __init__(self, message: str | None = None, *, appointment: Appointment | None = None) -> None:
        self.text = message or self.message
        self.appointment = appointment
        super().__init__(self.text)

    @property
    def body(self) -> ErrorBody:
        return ErrorBody(error=self.text, outcome=self.outcome, appointment=self.appointment)

    @property
    def headers(self) -> dict[str, str]:
        retry = {RETRY_AFTER: self.retry_after} if self.retry_after else {}
        return {ERROR_TYPE: type(self).__name__, **retry}

    @staticmethod
    def from_wire(
        status: int, text: str, error_type: str | None, appointment: Appointment | None = None
    ) -> "Refused":
        """Return the refusal in a reply; an unknown `error_type` becomes the family of its status."""
        family = _FAMILIES.get(status, OutcomeUnknown if status >= 500 else Refused)
        exact = (kind for kind in family.__subclasses__() if kind.__name__ == error_type)
        return next(exact, family)(text, appointment=appointment)


class InvalidRequest(Refused):
    status = 400


class Unauthorized(Refused):
    """The caller has no valid key. The answer is the same for an absent, unknown, wrong or expired key."""

    status = 401
    message = "Send a valid key: Authorization: Bearer <key>"

    @property
    def headers(self) -> dict[str, str]:
        return {**super().headers, AUTHENTICATE: "Bearer"}


class Forbidden(Refused):
    """The caller's key does not permit the request."""

    status = 403
    message = "The key does not permit this"


class NotFound(Refused):
    status = 404
    message = "Not found"


class NoSuchAppointment(NotFound):
    message = "No such appointment"


class NoSuchHold(NotFound):
    message = "No such hold"


class NoSuchSchedule(NotFound):
    message = "No such schedule"


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


class SlotNotOffered(Conflict):
    """An enforced schedule does not offer the slot. The sentence says why, and so decides the `reason`."""

    message = "Slot is outside opening hours"
    sentences: ClassVar[dict[Reason, str]] = {
        "closed": message,
        "too_soon": "Slot begins too soon to be booked",
        "too_far": "Slot is too far ahead to be booked yet",
        "not_a_start": "Slot is not one of the offered starts",
        "unknown_resource": "Resource has no schedule at this site",
    }

    @classmethod
    def because(cls, reason: Reason) -> "SlotNotOffered":
        return cls(cls.sentences[reason])

    @property
    def reason(self) -> Reason | None:
        return next((reason for reason, text in self.sentences.items() if text == self.text), None)

    @property
    def body(self) -> ErrorBody:
        return ErrorBody(error=self.text, reason=self.reason)


class AppointmentCancelled(Conflict):
    message = "Appointment is cancelled"


class TooLateToChange(Conflict):
    """The cut-off of a schedule has passed. It binds patients' links only."""

    message = "Too late to change this appointment online"


class NameErased(Conflict):
    message = "The patient's name was erased, and cannot be set again"


class WebhookDisabled(Conflict):
    message = "Webhook is disabled: its receiver answered 410; create a new one"


class PreconditionFailed(Refused):
    """The appointment does not have the version that the caller requires."""

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


class TooMany(Refused):
    """The caller has used up its part. Nothing was done. `settles_all`: see `NotExecuted`."""

    status = 429
    retry_after = RETRY_AFTER_SECONDS
    settles_all: ClassVar[bool] = False


class TooManyRequests(TooMany):
    """The client has exceeded its rate: `most` requests in `window` seconds."""

    varies = True
    message = "Too many requests from this client; try again later"
    most = window = 0

    @property
    def headers(self) -> dict[str, str]:
        limits = {
            RATE_LIMIT: f'"client";r=0;t={self.retry_after}',
            RATE_LIMIT_POLICY: f'"client";q={self.most};w={self.window}',
        }
        return super().headers | (limits if self.most else {})


class TooManyHolds(TooMany):
    retry_after = "60"
    message = "This client may not hold so much; ask for less, book or release a hold, or wait"


class TooManyBookings(TooMany):
    retry_after = "3600"
    message = "This client may not book so much in 24 hours; ask for less, or call the practice"


class NotExecuted(Refused):
    """The attempt was not and will not be executed. `repeatable`: the client retries by itself.

    `settles_all`: this holds for all attempts of the request, even for those without an answer.
    """

    status = 503
    message = "Nothing was done; try again"
    outcome = "not_executed"
    retry_after = RETRY_AFTER_SECONDS
    repeatable: ClassVar[bool] = False
    settles_all: ClassVar[bool] = False


class HoldsUnreachable(NotExecuted):
    """Redis does not answer: holds can neither be placed nor read."""

    message = "Holds are not available at the moment; nothing was done"


class NoPrimary(NotExecuted):
    """MongoDB has no reachable primary, for example during an election."""

    message = "The booking database cannot be reached; nothing was done"
    repeatable = True


class NotReady(NotExecuted):
    """The worker cannot confirm writes now; another worker may."""

    message = "The booking database is not ready; nothing was done"
    repeatable = True


class BeingBooked(NotExecuted):
    """A booking of the slot is in progress, so it is unknown yet whether the slot can be held."""

    message = "The slot is being booked at the moment; nothing was done"
    repeatable = True


class Changing(NotExecuted):
    """Other commands changed the row while the command was decided."""

    message = "The appointment or slot is being changed by other requests; nothing was done"
    repeatable = True


class NoResponders(NotExecuted):
    """No worker received the command; one may be available soon."""

    message = "No worker is free to answer; nothing was done"
    repeatable = True


class Overloaded(NotExecuted):
    """The process has its maximum of requests in flight."""

    message = "Too many requests at once; nothing was done"


class DeadlinePassed(NotExecuted):
    """The command reached its worker after its deadline."""

    message = "The deadline passed before the request was started"


class AskedEarlier(NotExecuted):
    """Another request for the same, asked at the same time or later, was already answered."""

    message = "Another request for the same, asked at the same time or later, was answered; nothing was done"
    settles_all = True


class OutcomeUnknown(Refused):
    status = 504
    message = "The outcome is not known; repeating with the same key is safe"
    of_a_read: ClassVar[str] = "The answer did not come in time; ask again"
    """The sentence for a read, which changes nothing."""
    of_no_key: ClassVar[str] = "The outcome is not known; look before repeating what had no key or token"
    """The sentence for a command without a key, whose retry would be a new request."""
    outcome = "unknown"
    retry_after = RETRY_AFTER_SECONDS


_FAMILIES: dict[int, type[Refused]] = {
    family.status: family
    for family in (
        InvalidRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        TooSlow,
        Conflict,
        PreconditionFailed,
        TooLarge,
        UnsupportedMediaType,
        KeyReused,
        TooMany,
        NotExecuted,
        OutcomeUnknown,
    )
}
