"""What a client has counted since it was made: plain numbers, for whoever exports them."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Statistics:
    """`attempts` by subject and what became of them: `answered`, `no_responders`, `not_executed`, `unknown`,
    `cancelled`. `batches` by subject and how many commands went in one message."""

    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    batches: Counter[tuple[str, int]] = field(default_factory=Counter)
