"""What the operator's `MONGO_URI` may not weaken."""

from pymongo import MongoClient
from pymongo.read_preferences import SecondaryPreferred

from shared.client.attempts import ATTEMPTS
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.bookings import BookingStore

FIRST_ATTEMPT_SECONDS = 5 / ATTEMPTS
WEAK = "?w=1&journal=false&readConcernLevel=available&readPreference=secondaryPreferred&retryWrites=false"


async def test_the_uri_does_not_weaken_what_201_means() -> None:
    """Whatever the URI says, a majority acknowledges writes, journaled, and the primary answers reads."""
    database = mongodb.connect(f"mongodb://127.0.0.1:1/booking{WEAK}")
    try:
        store = BookingStore(database)
        for part in (database, store._latest, store._barrier._barriers):
            assert part.write_concern.document == {"w": "majority", "j": True}
            assert part.read_concern.level == "local"
            assert part.read_preference.name == "Primary"
        assert store._committed.read_concern.level == "majority"
        assert database.client.delegate.options.retry_writes
        assert database.client.delegate.options.server_selection_timeout < FIRST_ATTEMPT_SECONDS
        assert database.name == "booking"
    finally:
        database.client.close()


def test_the_driver_takes_these_options_from_a_uri() -> None:
    """Control: where nobody overrules it, the same URI makes for weak writes and stale reads."""
    with MongoClient[dict[str, object]](f"mongodb://127.0.0.1:1/booking{WEAK}", connect=False) as client:
        database = client.get_default_database()
        assert database.write_concern.document == {"w": 1, "j": False}
        assert database.read_concern.level == "available"
        assert database.read_preference == SecondaryPreferred()
        assert not client.options.retry_writes
