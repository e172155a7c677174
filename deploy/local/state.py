"""Store the running processes in a file, for `env` and for the next start after a killed supervisor."""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.process import ROOT
from deploy.local.recorded import RecordedProcess

DATA = ROOT / ".local"


@dataclass(frozen=True)
class State:
    """A stack: its supervisor, its addresses by variable, and its processes in start order."""

    supervisor: RecordedProcess
    addresses: dict[str, str] = field(default_factory=dict)
    processes: Sequence[RecordedProcess] = ()

    @property
    def running(self) -> bool:
        """Whether any of its processes runs."""
        return any(process.running for process in (self.supervisor, *self.processes))

    def of(self, kind: str) -> list[RecordedProcess]:
        """Return the running processes of a kind."""
        return [process for process in self.processes if process.kind == kind and process.running]


class StateFile:
    """`stack.json` of a data directory, and the lock that only one stack at a time holds."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._file = data / "stack.json"

    def write(self, state: State) -> None:
        """Replace the file atomically. Only its owner may read it: an address may contain a password."""
        new = self._file.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w") as file:  # noqa: PTH123
            json.dump({"data": self._place(), **asdict(state)}, file, indent=1)
        new.replace(self._file)

    def read(self) -> State | None:
        """Read the state; None if the file is absent or cannot be parsed.

        A file that was copied with its directory describes another directory's stack, so it counts as absent.
        """
        try:
            read = json.loads(self._file.read_text())
            if read["data"] != self._place():
                return None
            processes = [RecordedProcess(**process) for process in read["processes"]]
            return State(RecordedProcess(**read["supervisor"]), read["addresses"], processes)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _place(self) -> str:
        return str(self._data.resolve())

    def remove(self) -> None:
        """Remove the file."""
        self._file.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second stack from using the data. The system frees the lock when its holder dies.

        Raises:
            StackError: a stack is running on the data.
        """
        self._data.mkdir(0o700, parents=True, exist_ok=True)
        if self._data == DATA:  # it may be older than this mode; another directory may be shared on purpose
            self._data.chmod(0o700)
        with (self._data / "stack.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError(self._describe()) from None
            yield

    def _describe(self) -> str:
        state = self.read()
        if state is None:
            return f"A stack is already running on {self._data}"
        pid, url = state.supervisor.pid, state.addresses.get("GATEWAY_URL")
        return f"A stack (pid {pid}) is already running on {self._data}, at {url}; to stop it: kill {pid}"
