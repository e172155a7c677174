"""The usual monolith in Python: FastAPI, motor and redis-py in one process."""

import json
import os
import re
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import uuid4

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from motor.motor_asyncio import AsyncIOMotorClient
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pymongo.errors import DuplicateKeyError
from redis.asyncio import BlockingConnectionPool, Redis

HOLD_SECONDS = 300
ISO_8601 = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.(\d{1,9}))?)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
)
BOOKED = {"error": "Slot already booked"}
HELD = {"error": "Slot is currently held by another user"}


def _slot(value: Any) -> datetime:
    match = ISO_8601.fullmatch(value) if isinstance(value, str) else None
    if match is None or (match[1] or "")[3:].strip("0"):
        raise ValueError("must be an ISO 8601 time with an offset, in milliseconds")
    return datetime.fromisoformat(value).astimezone(UTC)


def _name(value: str) -> str:
    name = unicodedata.normalize("NFC", value).strip()
    if not 1 <= len(name) <= 200 or any(unicodedata.category(each) == "Cc" for each in name):
        raise ValueError("must have 1 to 200 characters")
    return name


class SlotRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    slot: Annotated[datetime, BeforeValidator(_slot)]
    patientName: Annotated[str, AfterValidator(_name)]

    @property
    def key(self) -> str:
        return f"hold:{written(self.slot)}"


def written(instant: datetime) -> str:
    return instant.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
        os.environ["MONGO_URI"], w="majority", journal=True
    )
    app.state.appointments = client.get_default_database()["appointments"]
    await app.state.appointments.create_index("slot", unique=True)
    # A pool that does not block raises an error if requests outnumber its connections.
    pool = BlockingConnectionPool.from_url(os.environ["REDIS_URL"], max_connections=100, timeout=None)
    app.state.redis = Redis.from_pool(pool)
    yield
    await app.state.redis.aclose()
    client.close()


app = FastAPI(lifespan=lifespan)


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    return {"status": "ready"}


@app.post("/api/book-appointment")
async def book_appointment(body: SlotRequest) -> JSONResponse:
    held = await app.state.redis.get(body.key)
    if held and json.loads(held)["patientName"] != body.patientName:
        return JSONResponse(BOOKED if await is_booked(body.slot) else HELD, 409)
    now = datetime.now(UTC)
    row = {
        "_id": str(uuid4()),
        "slot": body.slot,
        "patientName": body.patientName,
        "status": "booked",
        "createdAt": now,
    }
    try:
        await app.state.appointments.insert_one(row)
    except DuplicateKeyError:
        return JSONResponse(BOOKED, 409)
    if held:
        await app.state.redis.delete(body.key)
    appointment = {
        "id": row["_id"],
        "slot": written(body.slot),
        "patientName": body.patientName,
        "status": "booked",
        "createdAt": written(now),
    }
    return JSONResponse({"message": "Booking confirmed", "appointment": appointment}, 201)


@app.post("/api/hold-appointment")
async def hold_appointment(body: SlotRequest) -> JSONResponse:
    if await is_booked(body.slot):
        return JSONResponse(BOOKED, 409)
    token = str(uuid4())
    value = json.dumps({"token": token, "patientName": body.patientName})
    if not await app.state.redis.set(body.key, value, ex=HOLD_SECONDS, nx=True):
        return JSONResponse(HELD, 409)
    expires = written(datetime.now(UTC) + timedelta(seconds=HOLD_SECONDS))
    hold = {"token": token, "slot": written(body.slot), "expiresAt": expires}
    return JSONResponse({"message": "Slot held for 5 minutes", "hold": hold})


async def is_booked(slot: datetime) -> bool:
    found = await app.state.appointments.find_one({"slot": slot, "status": "booked"}, {"_id": 1})
    return found is not None


@app.exception_handler(RequestValidationError)
async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    if first["type"] == "missing":
        return JSONResponse({"error": "Missing slot or patientName"}, 400)
    return JSONResponse({"error": f"{first['loc'][-1]} is not valid"}, 400)


if __name__ == "__main__":
    uvicorn.run(
        app,
        host=os.environ["HOST"],
        port=int(os.environ["PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
    )
