"""The users of MongoDB and Redis: what their files permit fits what the code does."""

import re
import stat
from pathlib import Path

import pytest

from deploy import mongo_users, passwords
from shared.stores.mongo import bookings, meta, read_barrier, schedules
from shared.stores.redis.keys import OF_CLAIMS

STORES = Path(__file__).parents[2] / "shared/stores/redis"
LUA = {path.stem: path.read_text() for path in (STORES / "lua").glob("*.lua")}
COMMAND = re.compile(r"redis\.p?call\('(\w+)'")
KIND = re.compile(r"""['"](\w+):(?:\{\{| ?' ?\.\. tag)""")
OF_HOLD_WORKERS = {"place_holds", "grant_holds", "withdraw_holds", "release_holds"}
LIBRARIES = {"holds", "shares", "tokens"}
"""Functions that scripts call."""
OF_BOOKING_WORKERS = LUA.keys() - OF_HOLD_WORKERS - LIBRARIES


def rules(user: str) -> set[str]:
    """Return the rules of a user in `redis.acl`."""
    (line,) = re.findall(rf"^user {user} on PASSWORD (.*)$", passwords.ACL.read_text(), re.MULTILINE)
    return set(line.split())


def commands(scripts: set[str]) -> set[str]:
    return {command.lower() for script in scripts for command in COMMAND.findall(LUA[script])}


@pytest.mark.parametrize(
    ("user", "scripts"), [("hold_worker", OF_HOLD_WORKERS), ("booking_worker", OF_BOOKING_WORKERS)]
)
def test_user_may_run_the_commands_of_its_scripts(user: str, scripts: set[str]) -> None:
    """A script may call only what its user may, so a new command in a script needs a right."""
    assert {f"+{command}" for command in commands(scripts)} <= rules(user)


def test_no_user_has_a_right_that_no_script_needs() -> None:
    """Every command that a worker may send is sent by redis-py, by the watch, or by a script."""
    sent = {"ping", "info", "client|setinfo", "cluster|slots", "eval", "evalsha"}
    for user, scripts in (("hold_worker", OF_HOLD_WORKERS), ("booking_worker", OF_BOOKING_WORKERS)):
        may = {rule.removeprefix("+") for rule in rules(user) if rule.startswith("+")}
        assert may <= sent | commands(scripts | LIBRARIES)


def test_every_kind_of_key_has_a_user() -> None:
    """A new kind of key needs a right, and the operator deletes every kind that names cells."""
    kinds = set(KIND.findall((STORES / "keys.py").read_text()))
    kinds |= {kind for script in LUA.values() for kind in KIND.findall(script)}
    assert {"hold", "wanted", "released", "held_resources"} <= kinds
    permitted = {
        match
        for user in passwords.REDIS_USERS
        for rule in rules(user)
        for match in re.findall(r"~(\w+):", rule)
    }
    assert kinds <= permitted
    assert {f"~{kind}:{{*" for kind in OF_CLAIMS} <= rules("operator")


def test_roles_name_the_collections_of_the_stores() -> None:
    """The roles are written without the code of the stores, so their names are compared here."""
    stores = {bookings.COLLECTION, meta.COLLECTION, read_barrier.COLLECTION, schedules.COLLECTION}
    named = {mongo_users.APPOINTMENTS, mongo_users.META, mongo_users.BARRIERS, mongo_users.SCHEDULES}
    assert named == stores
    assert set(passwords.MONGO_USERS) == {*mongo_users.ROLES, mongo_users.ADMIN}


def test_no_role_destroys_data() -> None:
    """No process can delete rows or drop a collection, and the operator alone changes the validator."""
    for role, rights in mongo_users.ROLES.items():
        actions = {action for of_collection in rights.values() for action in of_collection}
        assert not actions & {
            "remove",
            "dropCollection",
            "dropDatabase",
            "dropIndex",
            "bypassDocumentValidation",
        }
        assert ("collMod" in actions) == (role == "operator")


def test_passwords_are_made_once(tmp_path: Path) -> None:
    """A second run keeps every password; only the owner enters the folder; Redis gets digests alone."""
    folder = tmp_path / "secrets"
    made = passwords.make(folder)
    before = {file.name: file.read_text() for file in folder.iterdir()}
    assert set(before) == {*made, "redis_users.acl"}
    assert passwords.make(folder) == []
    assert {file.name: file.read_text() for file in folder.iterdir()} == before
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    texts = [text for name, text in before.items() if name != "redis_users.acl"]
    secrets = {text.partition("//")[2].partition("@")[0].partition(":")[2] for text in texts}
    assert len(secrets) == len(texts)
    assert min(map(len, secrets)) >= 43
    assert not any(secret in before["redis_users.acl"] for secret in secrets)
    assert before["redis_users.acl"].count(" #") == len(passwords.REDIS_USERS)
