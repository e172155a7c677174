"""The supervisor of the local stack, with processes that exit, fill their logs or never drain."""

import errno
import sys
import threading
from pathlib import Path

import pytest

from deploy.local.process import Process
from deploy.local.supervisor import Stopped, Supervisor, stop_order
from shared.process.settings import NatsSettings
from tests.stack import wait_until

FAILS_WHEN_TOLD = """
import pathlib, sys, time
told = pathlib.Path(sys.argv[1])
print("serving", flush=True)
while not told.exists():
    time.sleep(0.01)
told.unlink()
sys.exit(3)
"""
WRITES = """
import pathlib, sys, time
told = pathlib.Path(sys.argv[1])
print("serving", flush=True)
for number in range(200):
    print(f"{number} " + "x" * 100_000, flush=True)
    time.sleep(0.01)
told.touch()
while True:  # again and again: a rotation that cannot copy the log drops it
    print("the last line", flush=True)
    time.sleep(0.2)
"""
NEVER_DRAINS = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("draining", flush=True))
print("serving", flush=True)
while True:
    time.sleep(1)
"""


class Script(Process):
    """A gateway that is a Python script; it gets the path of the file `told`."""

    kind = "gateway"

    def __init__(self, folder: Path, script: str) -> None:
        super().__init__("gateway", folder / "gateway.log")
        self.told = folder / "told"
        self._script = script

    def command(self) -> list[str]:
        return [sys.executable, "-c", self._script, str(self.told)]

    def problem(self) -> str | None:
        return None if self.said("serving") else "is silent"

    def said(self, word: str) -> bool:
        return word in self.log_file.read_text()


def test_a_service_that_exits_is_restarted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The supervisor restarts a service that exits with an error, and prints its exit code."""
    gateway = Script(tmp_path, FAILS_WHEN_TOLD)
    supervisor = Supervisor(lambda _: None, service_seconds=10)
    supervisor.start([gateway])
    first = gateway.pid

    def fail() -> None:
        gateway.told.touch()
        try:
            wait_until(lambda: gateway.pid != first, "the service is restarted")
        finally:
            supervisor.on_signal()

    failing = threading.Thread(target=fail)
    failing.start()
    with pytest.raises(Stopped):
        supervisor.watch()
    failing.join()
    supervisor.stop()
    assert f"gateway (pid {first}) exited with 3; restarted (pid {gateway.pid})" in capsys.readouterr().out


@pytest.mark.parametrize("disk", ["free", "full"])
def test_logs_of_a_process_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: str) -> None:
    """The logs of a process that keeps writing stay within two files, and the process continues."""

    def copy_to_a_full_disk(source: Path, target: Path) -> None:
        target.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    if disk == "full":
        monkeypatch.setattr("deploy.local.process.shutil.copyfile", copy_to_a_full_disk)
    monkeypatch.setattr("deploy.local.process.MOST_LOG_BYTES", 1_000_000)
    writer = Script(tmp_path, WRITES)
    supervisor = Supervisor(lambda _: None, service_seconds=10)
    supervisor.start([writer])

    def stop_when_all_is_written() -> None:
        try:
            wait_until(lambda: writer.said("the last line"), "the process has written everything")
        finally:
            supervisor.on_signal()

    watching = threading.Thread(target=stop_when_all_is_written)
    watching.start()
    pid = writer.pid
    with pytest.raises(Stopped):
        supervisor.watch()
    watching.join()
    supervisor.stop()
    files = {file.name: file.stat().st_size for file in tmp_path.glob("*.log*")}
    assert sum(files.values()) < 10_000_000  # of 20 MB
    assert ("gateway.log.old" in files) == (disk == "free")
    assert writer.pid == pid
    assert writer.last_log_line() == "the last line"


def test_a_second_signal_kills_services_that_drain(tmp_path: Path) -> None:
    """A second signal kills services that still drain."""
    gateway = Script(tmp_path, NEVER_DRAINS)
    supervisor = Supervisor(lambda _: None, service_seconds=10_000)
    supervisor.start([gateway])
    supervisor.on_signal()
    stopping = threading.Thread(target=supervisor.stop)
    stopping.start()
    wait_until(lambda: gateway.said("draining"), "the service drains")
    assert gateway.running
    supervisor.on_signal()
    stopping.join()
    assert gateway.exit_summary() == "died with SIGKILL"


@pytest.mark.parametrize("timeout", [1, 60])
def test_services_have_the_time_that_requests_take(timeout: float) -> None:
    """The gateway stops first, then the workers, and both may take as long as requests in flight."""
    seconds = NatsSettings(request_timeout_seconds=timeout).stop_seconds
    assert stop_order(seconds)[:3] == (
        (("gateway",), seconds),
        (("booking_worker", "hold_worker"), seconds),
        (("booking_worker.events", "gateway.webhooks", "gateway.notify"), seconds),
    )
