"""What can be judged apart: operations that no chain of shared claims connects."""

from collections import defaultdict
from collections.abc import Sequence

from tests.faults.history import Claim, Operation


def components(operations: Sequence[Operation]) -> list[list[Operation]]:
    """The operations in connected components, each in the order given.

    Claims of different components are different objects, so a history is linearizable if and only if each
    of its components is (Herlihy and Wing: linearizability is local).
    """
    leader: dict[Claim, Claim] = {}

    def find(claim: Claim) -> Claim:
        while (above := leader.setdefault(claim, claim)) != claim:
            leader[claim] = claim = leader[above]
        return claim

    for each in operations:
        first, *others = each.claims or [("", "", "")]
        for other in others:
            leader[find(other)] = find(first)
    groups: dict[Claim, list[Operation]] = defaultdict(list)
    for each in operations:
        groups[find(next(iter(each.claims), ("", "", "")))].append(each)
    return list(groups.values())
