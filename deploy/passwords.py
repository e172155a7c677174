"""Make the passwords of MongoDB and Redis for compose: `python3 -m deploy.passwords`.

A file that exists stays; the others get a new password. It needs nothing but Python.
"""

import hashlib
import os
import re
import secrets
import sys
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parent
FOLDER, ENV = HERE / ".secrets", HERE / ".env"
ACL = HERE / "redis.acl"
MONGO_USERS = ("admin", "booking_worker", "hold_worker", "operator", "relay")
REDIS_USERS = ("booking_worker", "hold_worker", "operator")
MONGO_URI = "mongodb://{user}:{password}@mongo:27017/booking?replicaSet=rs0&authSource=admin"
REDIS_URL = "redis://{user}:{password}@redis:6379"
RANDOM_BYTES = 32


def make(folder: Path) -> list[str]:
    """Make the files that are absent, and the list of Redis's users anew; return what was made.

    Only the owner enters the folder. The files are readable, because containers have other users.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    wanted = {f"mongo_uri_{user}": (MONGO_URI, user) for user in MONGO_USERS}
    wanted |= {f"redis_url_{user}": (REDIS_URL, user) for user in REDIS_USERS}
    made = []
    for name, (template, user) in wanted.items():
        if not (folder / name).exists():
            password = secrets.token_urlsafe(RANDOM_BYTES)
            _write(folder / name, template.format(user=user, password=password))
            made.append(name)
    urls = {user: (folder / f"redis_url_{user}").read_text().strip() for user in REDIS_USERS}
    _write(folder / "redis_users.acl", redis_users(urls))
    return made


def redis_users(urls: dict[str, str]) -> str:
    """Return the file of users for Redis: `redis.acl` with the digests of the passwords in `urls`."""
    lines = [line for line in ACL.read_text().splitlines() if line and not line.startswith("#")]
    for number, line in enumerate(lines):
        user = re.sub(r"user (\S+) .*", r"\1", line)
        if user in urls:
            password = urlsplit(urls[user]).password or ""
            lines[number] = line.replace("PASSWORD", "#" + hashlib.sha256(password.encode()).hexdigest())
    return "\n".join(lines) + "\n"


def _write(file: Path, content: str) -> None:
    new = file.with_name(f".{file.name}")
    new.write_text(content)
    new.chmod(0o444)
    new.replace(file)


def main() -> None:
    """Make the files in the folder `SECRETS`, else in `deploy/.secrets`, and name it in `deploy/.env`."""
    folder = Path(os.environ.get("SECRETS") or FOLDER).absolute()
    try:
        made = make(folder)
        settings = ENV.read_text().splitlines() if ENV.exists() else []
        kept = [line for line in settings if not line.startswith("SECRETS=")]
        ENV.write_text("\n".join([*kept, f"SECRETS={folder}"]) + "\n")
    except OSError as error:
        sys.exit(f"The passwords cannot be written: {error}")
    print(f"{folder}: {len(made)} new passwords" if made else f"{folder}: all passwords exist")


if __name__ == "__main__":
    main()
