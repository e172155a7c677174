"""The counters of a client, as plain numbers that a program can export."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Statistics:
    """Counts since the client was created.

    `attempts`: by subject and outcome: `answered`, `no_responders`, `not_executed`, `unknown`, `cancelled`.
    `batches`: by subject and number of commands in the message.
    """

    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    batches: Counter[tuple[str, int]] = field(default_factory=Counter)
