"""Read messages into attempts. Every command of a batch is validated independently."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic

from nats.aio.msg import Msg

from shared.contract.asked_at import accept_asked_at, read_asked_at, unix_ms_now
from shared.contract.caller import ANYONE, Caller, read_caller
from shared.contract.commands import CommandT
from shared.contract.deadline import Deadline
from shared.contract.errors import InvalidRequest, TooLarge
from shared.contract.headers import ASKED_AT, CALLER, DEADLINE, IDEMPOTENCY_KEY, REQUEST_ID, accept_request_id
from shared.contract.many import is_too_large, one_of_many, read_many
from shared.contract.operation import Operation
from shared.contract.parsing import LARGEST_REQUEST, parse_command, validate
from shared.process.nats_headers import REPEATED
from shared.worker.caller_clock_skew import CallerClockSkew
from shared.worker.messages import check_headers, in_lower_case
from shared.worker.senders import Sender, Senders, any_sender


@dataclass(frozen=True, slots=True)
class Attempt(Generic[CommandT]):
    """One sending of a command, which a worker must not start after its deadline.

    `asked_at`: when the caller asked (Unix ms), the same in all attempts of a request.
    `is_first_attempt`: the sender never sent the command before. `alone`: the message has no other command,
    so none waits for this one's answer. `caller`: the authenticated identity behind the command.
    """

    command: CommandT
    deadline: Deadline
    asked_at: int = field(default_factory=unix_ms_now)
    is_first_attempt: bool = False
    alone: bool = True
    caller: Caller = ANYONE


@dataclass(frozen=True)
class Received(Generic[CommandT]):
    """The contents of a message.

    `attempts`: one per command, in order, or the reason why a command cannot be tried.
    `many`: the reply has the format of a batch. A batch that cannot be read is one exception and not `many`.
    """

    attempts: list[Attempt[CommandT] | Exception]
    request_ids: list[str]
    many: bool


class Reader:
    """Reads messages. Deadlines are capped to `longest_seconds` from now.

    `sender_of` returns the sender of a message by its subject.
    """

    def __init__(self, *, longest_seconds: float, sender_of: Senders = any_sender) -> None:
        self._sender_of = sender_of
        self._longest_seconds = longest_seconds
        self._skew = CallerClockSkew()

    def read(self, operation: Operation[CommandT, Any], message: Msg, *, many: bool) -> Received[CommandT]:
        """Read a message of one command, or of a batch (`many`). Errors are returned, never raised."""
        received_at, headers = unix_ms_now(), in_lower_case(message.headers or {})
        try:
            check_headers(headers)
            sender = self._sender_of(message.subject)
            if many:
                return self._read_many(operation, message.data, headers, received_at, sender)
            one: Attempt[CommandT] | Exception = self._read_one(
                operation, message.data, headers, received_at, sender
            )
        except Exception as error:
            one = error
        return Received([one], [accept_request_id(headers.get(REQUEST_ID.lower()))], many=False)

    def _read_one(
        self,
        operation: Operation[CommandT, Any],
        data: bytes,
        headers: Mapping[str, str],
        received_at: int,
        sender: Sender,
    ) -> Attempt[CommandT]:
        if len(data) > LARGEST_REQUEST:
            raise TooLarge
        header, asked_at = headers.get(DEADLINE.lower()), read_asked_at(headers.get(ASKED_AT.lower()))
        deadline = Deadline.from_header(header, self._longest_seconds)
        self._skew.note(received_at, asked_at, None if header is None else int(header))
        deadline.check()
        command = parse_command(operation.command, data, _key(operation, headers))
        sent = headers.get(CALLER.lower())
        caller = sender.caller(operation, None if sent is None else read_caller(sent), command)
        caller.check_site_of(command)
        return Attempt(command, deadline, accept_asked_at(asked_at, received_at), caller=caller)

    def _read_many(
        self,
        operation: Operation[CommandT, Any],
        data: bytes,
        headers: Mapping[str, str],
        received_at: int,
        sender: Sender,
    ) -> Received[CommandT]:
        latest = Deadline.from_header(headers.get(DEADLINE.lower()), self._longest_seconds)
        commands, model = read_many(data), one_of_many(operation.command)
        all_small, alone = len(data) <= LARGEST_REQUEST, len(commands) == 1
        received: Received[CommandT] = Received([], [], many=True)
        for sent in commands:
            envelope = sent if isinstance(sent, dict) else {}
            request_id = envelope.get("requestId")
            received.request_ids.append(
                accept_request_id(request_id if isinstance(request_id, str) else None)
            )
            try:
                if not all_small and is_too_large(envelope.get("command")):
                    raise TooLarge
                one = validate(model, sent)
                self._skew.note(received_at, one.askedAt, one.deadline)
                due = latest if one.deadline is None else Deadline(min(one.deadline, latest.unix_ms))
                due.check()
                asked_at = accept_asked_at(one.askedAt, received_at)
                caller = sender.caller(operation, one.caller, one.command)
                caller.check_site_of(one.command)
                received.attempts.append(
                    Attempt(one.command, due, asked_at, one.first is True, alone, caller)
                )
            except Exception as error:
                received.attempts.append(error)
        return received


def _key(operation: Operation[Any, Any], headers: Mapping[str, str]) -> str | None:
    """Return the header `Idempotency-Key` if the command has a key; it stands for the field of that name."""
    if "idempotencyKey" not in operation.command.model_fields:
        return None
    key = headers.get(IDEMPOTENCY_KEY.lower())
    if key is not None and REPEATED in key:
        raise InvalidRequest(f"{IDEMPOTENCY_KEY} was sent more than once")
    return key
