"""Digests of what may not be stored or logged as it is: HMACs under the deployment's own secret.

A plain hash of a name that stands in a telephone book is that name.
"""

import hmac
import json
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii

from shared.contract.commands import MoveRequest, SlotRequest
from shared.contract.instants import format_instant


@dataclass(frozen=True)
class Digests:
    """Keyed by `secret`, which all workers of a database share."""

    secret: bytes

    def of_name(self, name: str) -> str:
        """Tells one patient's holds from another's; equal for equal names, normalised."""
        return self._digest("name", name)

    def of_request(self, request: SlotRequest) -> str:
        """Tells a repeat from another request under the same key; equal for equal instants and names.

        The duration counts as it was sent: none is another request than one that is as long as a cell.
        """
        duration = "null" if request.durationMinutes is None else request.durationMinutes
        resources = '", "'.join(request.resources)
        name = encode_basestring_ascii(request.patientName)
        # As `json.dumps` writes the list of them, which takes five times as long.
        asked = f'["{format_instant(request.slot)}", {duration}, ["{resources}"], {name}]'
        return self._digest("request", asked)

    def of_move(self, request: MoveRequest) -> str:
        """Tells a repeat of a move from another move under the same id, by what was sent but the token."""
        slot = None if request.slot is None else format_instant(request.slot)
        return self._digest("move", json.dumps([slot, request.durationMinutes, request.resources]))

    def _digest(self, kind: str, text: str) -> str:
        return hmac.digest(self.secret, f"{kind}:{text}".encode(), "sha256").hex()
