"""Define the command line `slotkeeper-keys`, which makes and changes the file of API keys."""

import fcntl
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NoReturn

import typer
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ..contract.caller import Scope
from ..contract.commands import DEFAULT_SITE
from ..contract.instants import format_instant
from ..process.api_keys import (
    CALENDAR_SCOPES,
    MOST_SECRETS,
    ApiKey,
    Kind,
    Limits,
    SecretDigest,
    new_token,
    read_keys,
    write_keys,
)
from ..process.watched_file import InvalidFile
from .commands import Commands
from .gateway import ExitCode
from .options import LOCAL
from .times import read_slot

ID_BYTES = 6
DEFAULT_OVERLAP = timedelta(days=1)
HELP = """\
Make, list, rotate and revoke API keys. The file has digests only; a key is printed once.

`calendar` makes the secret link of a resource's calendar. Running gateways and workers read the file again
within a second or two. Exit codes: 0 done, 1 no such key, 2 wrong request or file.
"""
ONCE = "The key is shown only now; keep it safe"
CORS = "Browsers send it only if the gateway has these origins too: ALLOWED_ORIGINS={}"
_SPAN = re.compile(r"([0-9]{1,4})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def _read_span(text: str) -> timedelta:
    span = _SPAN.fullmatch(text)
    if span is None:
        raise typer.BadParameter("must be a number and m, h or d, such as 1d")
    return timedelta(**{_UNITS[span[2]]: int(span[1])})


def _read_scopes(text: str) -> frozenset[Scope]:
    names = {name.strip() for name in text.split(",")}
    if not names <= {str(scope) for scope in Scope}:
        raise typer.BadParameter(f"must be some of {', '.join(Scope)}")
    return frozenset(Scope(name) for name in names)


def _read_end(text: str) -> datetime:
    """Parse a time (as `read_slot`), or a date: its first instant in UTC."""
    try:
        return datetime.combine(date.fromisoformat(text.strip()), time(), UTC)
    except ValueError:
        return read_slot(text)


class _Scopes(NamedTuple):
    """The scopes of an option; a class of its own, because typer takes no frozenset."""

    scopes: frozenset[Scope]


File = Annotated[
    Path,
    typer.Option("--file", "-f", envvar="API_KEYS_FILE", help="The file of the keys", show_default=False),
]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, which `list` shows")]
Name = Annotated[str, typer.Option("--name", help="Whose key it is")]
ScopeNames = Annotated[
    _Scopes,
    typer.Option(
        "--scopes",
        parser=lambda text: _Scopes(_read_scopes(text)),
        metavar="NAMES",
        help=f"Comma-separated, out of {', '.join(Scope)}",
    ),
]
SiteNames = Annotated[
    list[str] | None, typer.Option("--site", "-s", help="A site it may use; repeat it for several")
]
Origins = Annotated[
    list[str] | None, typer.Option("--origin", help="A page that may use a publishable key; repeatable")
]
Expires = Annotated[
    datetime | None,
    typer.Option("--expires", parser=_read_end, metavar="TIME", help="The end; a date ends at midnight UTC"),
]
Overlap = Annotated[
    timedelta | None,
    typer.Option("--overlap", parser=_read_span, metavar="SPAN", help="How long the old key works; else 1d"),
]


def new(
    name: Name,
    scopes: ScopeNames,
    file: File,
    *,
    site: SiteNames = None,
    all_sites: Annotated[bool, typer.Option("--all-sites", help="It may use all sites")] = False,
    publishable: Annotated[bool, typer.Option("--publishable", help="It is for a public page")] = False,
    nats: Annotated[bool, typer.Option("--nats", help="It is also a user of NATS with accounts")] = False,
    origin: Origins = None,
    expires: Expires = None,
    rate: Annotated[int | None, typer.Option("--rate", min=1, help="Requests a minute")] = None,
    holds: Annotated[int | None, typer.Option("--holds", min=0, help="Live holds")] = None,
    bookings: Annotated[int | None, typer.Option("--bookings", min=0, help="Bookings a day")] = None,
) -> None:
    """Make a key, and print it once."""
    if bool(site) == all_sites:
        raise typer.BadParameter("needs --site, or --all-sites")
    if publishable and (holds, bookings) != (None, None):
        raise typer.BadParameter(
            "leave out --holds and --bookings for a publishable key: all patients share it"
        )
    key, token = _new_key(
        file,
        kind="publishable" if publishable else "secret",
        name=name,
        scopes=scopes.scopes,
        sites="all" if all_sites else frozenset(site or ()),
        limits=Limits(rate=rate, holds=holds, bookings=bookings),
        origins=tuple(origin or ()),
        expires=expires,
        nats=nats,
    )
    _print_once(token, key.id)
    if key.origins:
        print(CORS.format(",".join(key.origins)), file=sys.stderr)


def calendar(
    resource: Annotated[str, typer.Argument(metavar="RESOURCE", help="The resource of the calendar")],
    name: Name,
    file: File,
    *,
    site: Annotated[str, typer.Option("--site", "-s", help="Its site")] = DEFAULT_SITE,
    url: Annotated[
        str, typer.Option("--url", envvar="PUBLIC_URL", help="The address of the gateway outside")
    ] = LOCAL,
    expires: Expires = None,
) -> None:
    """Make the secret link of a resource's calendar, and print it once."""
    key, token = _new_key(
        file,
        kind="calendar",
        name=name,
        scopes=CALENDAR_SCOPES,
        sites=frozenset({site}),
        resource=resource,
        expires=expires,
    )
    _print_once(f"{url.rstrip('/')}{key.calendar}?key={token}", key.id)


def list_keys(file: File) -> None:
    """List the keys, without secrets."""
    table = Table(
        *("id", "name", "kind", "scopes", "sites", "limits", "expires", "secrets"),
        box=SIMPLE_HEAD,
        expand=False,
    )
    for key in _read(file):
        sites = key.sites if key.sites == "all" else ", ".join(sorted(key.sites))
        if key.resource is not None:
            sites = f"{sites}/{key.resource}"
        limits = ", ".join(f"{name} {limit}" for name, limit in key.limits if limit is not None)
        expires = format_instant(key.expires) if key.expires else "never"
        table.add_row(
            *(key.id, key.name, key.kind, ", ".join(sorted(key.scopes)), sites, limits, expires),
            str(sum(secret.until is None or secret.until > _now() for secret in key.secrets)),
        )
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        console.width = 10_000
    console.print(table)


def revoke(id: KeyId, file: File) -> None:
    """End a key now."""
    _change(file, lambda keys: [key for key in keys if key is not _find(keys, id)])
    print(f"Revoked {id}")


def rotate(id: KeyId, file: File, *, overlap: Overlap = None) -> None:
    """Give a key a new secret, and print it once; the old one works for the overlap."""
    token = ""

    def renewed(keys: tuple[ApiKey, ...]) -> list[ApiKey]:
        nonlocal token
        key, now = _find(keys, id), _now()
        token, digest = new_token(id, key.kind)
        ends = now + (DEFAULT_OVERLAP if overlap is None else overlap)
        old = [
            secret.model_copy(update={"until": min(ends, secret.until or ends)})
            for secret in key.secrets
            if ends > now and (secret.until is None or secret.until > now)
        ]
        after = (SecretDigest(sha256=digest), *old[: MOST_SECRETS - 1])
        return [each.model_copy(update={"secrets": after}) if each is key else each for each in keys]

    _change(file, renewed)
    _print_once(token, id)


def _new_key(file: Path, *, kind: Kind, **fields: Any) -> tuple[ApiKey, str]:
    """Add a key to the file; return it and its token."""
    key_id = secrets.token_hex(ID_BYTES)
    token, digest = new_token(key_id, kind)
    try:
        key = ApiKey(id=key_id, kind=kind, secrets=(SecretDigest(sha256=digest),), created=_now(), **fields)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        raise typer.BadParameter(f"{field} {first['msg'].removeprefix('Value error, ')}".strip()) from None
    _change(file, lambda keys: [*keys, key])
    return key, token


def _print_once(token: str, id: str) -> None:
    """Print the key alone on stdout, so that a script can keep it in a variable."""
    print(f"{ONCE}. Its id: {id}", file=sys.stderr)
    print(token)


def _now() -> datetime:
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _find(keys: tuple[ApiKey, ...], id: str) -> ApiKey:
    found = next((key for key in keys if key.id == id), None)
    if found is None:
        print("No such key", file=sys.stderr)
        raise typer.Exit(ExitCode.REFUSED)
    return found


def _read(file: Path) -> tuple[ApiKey, ...]:
    try:
        return read_keys(file)
    except InvalidFile as error:
        _fail(str(error))


def _change(file: Path, change: Callable[[tuple[ApiKey, ...]], list[ApiKey]]) -> None:
    """Change the file; of two commands at once, one waits for the other."""
    try:
        with _lock(file.absolute().parent):
            write_keys(file, change(_read(file)))
    except OSError as error:
        _fail(error.strerror or "cannot be written")


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Lock the folder, because the file itself is replaced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _fail(reason: str) -> NoReturn:
    print(f"The file of the keys: {reason}", file=sys.stderr)
    raise typer.Exit(ExitCode.WRONG)


app = typer.Typer(
    cls=Commands, help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
app.command()(new)
app.command()(calendar)
app.command("list")(list_keys)
app.command()(revoke)
app.command()(rotate)
