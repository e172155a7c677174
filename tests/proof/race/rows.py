"""The rows that a run leaves in MongoDB, all of them cancelled."""

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.proof.race.exchanges import Run

SELECTION_MS = 5000


def delete_rows(run: Run, mongo: str | None, *, proved: bool) -> str:
    """Delete all rows of the run's site, tombstones included, or return why they stay.

    If the run proved nothing, its rows stay as evidence.
    """
    stay = f"the cancelled rows of site {run.site} stay in MongoDB"
    if not proved:
        return f"As evidence, {stay}"
    if mongo is None:
        return f"MONGO_URI is not known: {stay} (to delete them: deploy/README.md, Data)"
    try:
        with MongoClient[dict[str, object]](mongo, serverSelectionTimeoutMS=SELECTION_MS) as client:
            rows = client.get_default_database("booking")["appointments"]
            deleted = rows.delete_many({"site": run.site}).deleted_count
    except (PyMongoError, ValueError) as error:
        return f"MONGO_URI cannot be used ({type(error).__name__}): {stay}"
    if not deleted:
        return f"MONGO_URI names another database: {stay}"
    return f"{deleted} rows of site {run.site} deleted from MongoDB"
