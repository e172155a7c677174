"""Workers and gateways with one safeguard removed: the controls that show that a test can fail.

python -m tests.sabotage SAFEGUARD,... SERVICE     for example: no_index_check booking_worker

Every public function of these modules removes the safeguard of its name. Some functions remove none, but make
a service slow or small.
"""

from inspect import isfunction

from tests.sabotage import (
    access,
    bookings,
    changes,
    clients,
    events,
    holds,
    live,
    schedules,
    shares,
    sms,
    stores,
    webhooks,
    workers,
)

_MODULES = (
    access,
    bookings,
    changes,
    clients,
    events,
    holds,
    live,
    schedules,
    shares,
    sms,
    stores,
    webhooks,
    workers,
)
SABOTAGES = {
    name: sabotage
    for module in _MODULES
    for name, sabotage in vars(module).items()
    if isfunction(sabotage) and sabotage.__module__ == module.__name__ and not name.startswith("_")
}
OF_GATEWAYS = frozenset(
    {
        "late_refusal_ends",
        "no_calendar_path",
        "no_claims",
        "no_identification",
        "no_look_at_callers",
        "no_reads_by_itself",
        "no_scopes",
        "no_signatures",
        "reads_at_once",
    }
)
"""The safeguards to remove from a gateway; all others are removed from workers."""
