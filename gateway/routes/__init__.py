"""The HTTP API: each route makes a command of the request, sends it, and answers what came back."""

from fastapi import FastAPI

from gateway.routes import bookings, holds, reading


def register(app: FastAPI) -> None:
    """Answer the calls of the API. They are `app`'s own: a router that is included is searched twice."""
    bookings.register(app)
    holds.register(app)
    reading.register(app)
