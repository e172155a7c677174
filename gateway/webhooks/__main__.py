"""Starts a process that delivers webhooks: `python -m gateway.webhooks`. Any number share the work."""

from gateway.webhooks.app import NAME, webhooks
from shared.worker.run import run

if __name__ == "__main__":
    run(NAME, webhooks)
