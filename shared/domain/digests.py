"""Compute digests of values that must not be stored or logged: HMACs under the deployment's own secret.

A plain hash of a name could be found by hashing a telephone book.
"""

import hmac
import json
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii

from shared.contract.commands import AmendAppointment, MoveRequest, SlotRequest
from shared.contract.fields import random_uuid
from shared.contract.instants import format_instant
from shared.domain.claim import Claims


@dataclass(frozen=True)
class Digests:
    """Digests keyed by `secret`, which all workers of a database share."""

    secret: bytes

    def of_name(self, name: str) -> str:
        """Digest a normalised name, to distinguish the holds of different patients."""
        return self._digest("name", name)

    def of_request(self, request: SlotRequest) -> str:
        """Digest a request, to distinguish a retry from another request with the same key.

        Equal instants and names give equal digests. The duration counts as it was sent: no duration differs
        from the duration of one cell. A field that is newer than stored digests counts only if it was sent.
        """
        duration = "null" if request.durationMinutes is None else request.durationMinutes
        resources = '", "'.join(request.resources)
        name = encode_basestring_ascii(request.patientName)
        # As `json.dumps` writes the list of them, which takes five times as long.
        asked = f'["{format_instant(request.slot)}", {duration}, ["{resources}"], {name}]'
        if request.contact is not None:
            asked += json.dumps({"contact": request.contact})
        if request.service is not None:  # by its id, however its schedule changes
            asked += json.dumps({"service": request.service})
        return self._digest("request", asked)

    def of_move(self, request: MoveRequest) -> str:
        """Digest a move without its token, to distinguish a retry from another move with the same id."""
        slot = None if request.slot is None else format_instant(request.slot)
        asked = json.dumps([slot, request.durationMinutes, request.resources])
        if request.service is not None:
            asked += json.dumps({"service": request.service})
        return self._digest("move", asked)

    def of_amendment(self, command: AmendAppointment) -> str:
        """Digest an amendment with its id, to recognise its retry.

        The id is random and not stored, so the digest of a name cannot be found by hashing names.
        """
        asked = json.dumps([command.amendId or random_uuid(), command.patientName, command.attendance])
        return self._digest("amendment", asked)[:32]

    def of_key(self, key: str, claims: Claims) -> str:
        """Digest an idempotency key and the claims of its booking, to recognise attempts of one booking."""
        return self._digest("key", "\n".join((key, *claims.keys)))[:32]

    def _digest(self, kind: str, text: str) -> str:
        return hmac.digest(self.secret, f"{kind}:{text}".encode(), "sha256").hex()
