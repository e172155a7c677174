"""Starts a process that sends messages to patients: `python -m gateway.notify`. Any number share the work."""

from gateway.notify.app import NAME, notify
from shared.worker.run import run

if __name__ == "__main__":
    run(NAME, notify)
