"""The result of identification: a caller, and the permissions of its key."""

from dataclasses import dataclass

from shared.contract.caller import ANYONE, PATIENT_ID, Caller, Scope
from shared.contract.errors import Forbidden, Unauthorized
from shared.process.api_keys import ApiKey


@dataclass(frozen=True, slots=True, eq=False)
class Identified:
    """A caller that was identified.

    `json`: the JSON of `caller`, which goes with its commands; None: the deployment has no keys.
    `key`: its API key, if it has one. `network`: a digest of its network, if all callers there share limits.
    """

    caller: Caller
    scopes: frozenset[Scope]
    json: bytes | None = None
    key: ApiKey | None = None
    network: str | None = None

    @classmethod
    def of(
        cls,
        caller: Caller,
        scopes: frozenset[Scope],
        key: ApiKey | None = None,
        network: str | None = None,
    ) -> "Identified":
        """Return an identified caller; its JSON is made once, not with each command."""
        return cls(caller, scopes, caller.model_dump_json(exclude_defaults=True).encode(), key, network)

    def require(self, scope: Scope | None) -> None:
        """Refuse a call whose scope the key does not have; None: any key may make the call.

        Raises:
            Forbidden, Unauthorized
        """
        if self is NOBODY:
            raise Unauthorized
        if scope is not None and scope not in self.scopes:
            raise Forbidden(f"The key does not have the scope {scope}")


OPEN = Identified(ANYONE, frozenset(Scope))
"""The caller in a deployment without keys."""
ANONYMOUS = Identified(ANYONE, frozenset(Scope))
"""The caller in a deployment without keys that listens to other hosts."""
PATIENT = Identified(Caller(id=PATIENT_ID, names=True), frozenset({Scope.READ, Scope.MOVE, Scope.CANCEL}))
"""The holder of a patient's link, in requests for that one appointment."""
NOBODY = Identified(Caller(id="nobody", sites=frozenset()), frozenset())
"""The caller of a path that needs no key. A call that needs a scope, or any key, refuses it."""
