"""Erase or export a person's data: `python -m booking_worker.privacy {erase,export,retain}`.

Exit codes: 0 if it is done (or counted, in a dry run), 1 if a server did not answer, 2 for wrong arguments.
All of it may run while workers run, and any number of times at once.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import TextIO

import structlog
from rich.console import Console
from rich.progress import Progress

from booking_worker.privacy.erasure import erase
from booking_worker.privacy.export import export
from booking_worker.privacy.retention import retain
from shared.contract.fields import is_site, is_uuid
from shared.contract.names import read_name
from shared.process import settings
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.answered import Unanswered
from shared.stores.mongo.meta import is_settled
from shared.stores.mongo.personal_data import PersonalData, Selection, of_name, with_ids

LEFT = "MongoDB's oplog and backups keep the old rows for a while; holds have no name, and expire."

SHOWN_ROWS = 1000
"""After so many rows, the progress bar moves."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Raises:
        SystemExit: a server failed (1), or the arguments are wrong (2).
    """
    parser = argparse.ArgumentParser("python -m booking_worker.privacy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    erasing = commands.add_parser("erase", help="erase names; without --yes only count the bookings")
    exporting = commands.add_parser("export", help="write what is stored, one line of JSON per booking")
    commands.add_parser("retain", help="erase names RETAIN_NAMES_DAYS after the end of their bookings")
    for command in (erasing, exporting):
        person = command.add_mutually_exclusive_group(required=True)
        person.add_argument("--id", action="append", help="of an appointment; may be repeated")
        person.add_argument("--name", help="of a patient; - reads it from standard input")
        command.add_argument("--site", help="with --name: only in this site")
    erasing.add_argument("--yes", action="store_true", help="erase, instead of only counting")
    exporting.add_argument("--output", type=Path, help="a new file, which only its owner may read")
    given = parser.parse_args(arguments)
    try:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        if given.command == "retain":
            asyncio.run(_retain())
            return
        selection = _selection(given, parser.error)
        if given.command == "erase":
            asyncio.run(_erase(selection, dry=not given.yes))
        else:
            with _output(given.output, parser.error) as file:
                asyncio.run(_export(selection, file))
    except settings.Misconfigured as error:
        raise SystemExit(str(error)) from None
    except Unanswered as failure:
        raise SystemExit(f"MONGO_URI: {failure}. Repeat this command, until it is done.") from None


def _selection(given: argparse.Namespace, fail: Callable[[str], object]) -> Selection:
    if given.site is not None and (given.name is None or not is_site(given.site)):
        fail("--site is a site's name, and needs --name")
    if given.id is not None:
        if not all(map(is_uuid, given.id)):
            fail("--id must be the id of an appointment")
        return with_ids(list(map(str.lower, given.id)))
    name = sys.stdin.read() if given.name == "-" else given.name
    try:
        return of_name(read_name(name), given.site)
    except ValueError as error:
        fail(f"--name {error}")
        raise


@contextmanager
def _output(path: Path | None, fail: Callable[[str], object]) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        fail(f"--output: {error.strerror}")
        raise
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yield file


async def _erase(selection: Selection, *, dry: bool) -> None:
    async with _data() as data, _progress(data, selection) as advance:
        counts = await erase(data, selection, advance, dry=dry)
    for line in counts.lines():
        print(line)
    if dry:
        print(f"{counts.total} bookings would be erased. Nothing was changed: repeat this with --yes.")
    else:
        print(f"{counts.total} bookings erased. {LEFT}")


async def _export(selection: Selection, file: TextIO) -> None:
    async with _data() as data, _progress(data, selection) as advance:
        count = await export(data, selection, advance, file)
    print(f"{count} bookings exported", file=sys.stderr)


async def _retain() -> None:
    days = settings.load(settings.RetentionSettings).retain_names_days
    if not days:
        print("RETAIN_NAMES_DAYS is 0: names are kept for ever.")
        return
    async with _data() as data:
        counts = await retain(data, days)
    print(f"{counts.total} bookings erased")


@asynccontextmanager
async def _data() -> AsyncIterator[PersonalData]:
    database = mongodb.connect(settings.load(settings.MongoSettings).mongo_uri)
    try:
        if not await is_settled(database):
            raise settings.Misconfigured("No worker has ever served the database that MONGO_URI names")
        yield PersonalData(database)
    finally:
        mongodb.close(database)


@asynccontextmanager
async def _progress(data: PersonalData, selection: Selection) -> AsyncIterator[Callable[[], None]]:
    """Show the progress of a search that no index serves; yield the function that advances it."""
    total = await data.count_rows()
    with Progress(console=Console(stderr=True), disable="_id" in selection.query) as progress:
        task = progress.add_task("Searching bookings", total=total)
        searched = count(1)

        def advance() -> None:
            if (rows := next(searched)) % SHOWN_ROWS == 0:
                progress.update(task, completed=rows)

        yield advance
        progress.update(task, completed=total)


if __name__ == "__main__":
    main()
