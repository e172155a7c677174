"""Callers over HTTP and NATS: plain httpx and nats-py, so that the proof shares no code with the product."""

from tests.concurrency.callers.base import Call, Caller, UnreachableError
from tests.concurrency.callers.http import HttpCaller
from tests.concurrency.callers.nats import NatsCaller

__all__ = ["Call", "Caller", "HttpCaller", "NatsCaller", "UnreachableError"]
