"""Providers, which send messages to patients.

Unsent          the message was not accepted
  Undeliverable   and no attempt will help: the provider refuses its recipient or text
"""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from gateway.notify.contacts import Mailbox, Phone


class Unsent(Exception):
    """A provider did not accept a message. `code` is for the log, and has nothing of the message."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Undeliverable(Unsent):
    """A provider will never accept this message for this recipient."""


RecipientT = TypeVar("RecipientT", Phone, Mailbox)


@dataclass(frozen=True, repr=False)
class Message(Generic[RecipientT]):
    """A message.

    `id`: stays the same in every attempt. `site`: of the booking, for which a sender may be set. `subject`
    and `calendar` (an iTIP object and its method) are for e-mails.
    """

    id: str
    site: str
    to: RecipientT
    text: str
    subject: str = ""
    calendar: tuple[str, bytes] | None = None


class Provider(Protocol[RecipientT]):
    """Sends text messages, or e-mails."""

    async def send(self, message: Message[RecipientT]) -> None:
        """Hand a message over.

        Raises:
            Undeliverable, Unsent
        """

    async def close(self) -> None:
        """End the connections."""
