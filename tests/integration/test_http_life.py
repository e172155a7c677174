"""The life of an appointment over HTTP, from its booking to its history after the cancel."""

from uuid import uuid4

import httpx


async def test_appointment_is_booked_moved_read_and_cancelled(http: httpx.AsyncClient) -> None:
    """Every HTTP call has its effect, and the next call sees it."""
    site = f"life-{uuid4().hex[:8]}"
    body = {"site": site, "resources": ["dr-lee", "room-2"], "patientName": "Ada"}
    booked = await http.post("/api/book-appointment", json={**body, "slot": "2030-01-07T09:00:00Z"})
    assert booked.status_code == 201
    one = f"/api/appointments/{booked.json()['appointment']['id']}"
    day = {"site": site, "resource": "room-2", "from": "2030-01-07T00:00+02:00", "to": "2030-01-08T00:00Z"}

    moved = await http.patch(one, json={"slot": "2030-01-07T10:00:00Z", "resources": ["room-2"]})
    assert (moved.status_code, moved.json()["message"]) == (200, "Booking moved")
    appointment = moved.json()["appointment"]
    assert (appointment["slot"], appointment["resources"]) == ("2030-01-07T10:00:00.000Z", ["room-2"])
    assert (await http.get(one)).json()["appointment"] == appointment
    assert (await http.get("/api/appointments", params=day)).json() == {"appointments": [appointment]}
    taken = (await http.get("/api/slots", params=day)).json()["taken"]
    assert taken == [
        {"resource": "room-2", "slot": "2030-01-07T10:00:00.000Z", "durationMinutes": 5, "state": "booked"}
    ]

    for _ in range(2):
        cancelled = await http.delete(one)
        assert (cancelled.status_code, cancelled.json()["message"]) == (200, "Booking cancelled")
        assert cancelled.json()["appointment"] == {**appointment, "status": "cancelled", "version": 3}
    refused = await http.patch(one, json={"slot": "2030-01-07T11:00:00Z"})
    assert (refused.status_code, refused.json()) == (
        409,
        {"error": "Appointment is cancelled", "appointment": cancelled.json()["appointment"]},
    )
    history = (await http.get(f"{one}/history")).json()["history"]
    assert [change["type"] for change in history] == ["booked", "moved", "cancelled"]
    assert (await http.get("/api/appointments", params=day)).json() == {"appointments": []}


async def test_unknown_appointment_is_404_for_every_call(http: httpx.AsyncClient) -> None:
    """Reading, moving and cancelling an unknown appointment get the same 404."""
    for id in (uuid4(), "nothing"):
        one = f"/api/appointments/{id}"
        for answer in (
            await http.get(one),
            await http.get(f"{one}/history"),
            await http.patch(one, json={"slot": "2030-01-07T11:00:00Z"}),
            await http.delete(one),
        ):
            assert (answer.status_code, answer.json()) == (404, {"error": "No such appointment"})
            assert answer.headers["Error-Type"] == "NoSuchAppointment"


async def test_grid_can_be_read(http: httpx.AsyncClient) -> None:
    """A page can read the grid before it offers slots."""
    grid = {"slotMinutes": 5, "longestMinutes": 1440, "mostResources": 8, "mostClaims": 600}
    assert (await http.get("/api/grid")).json() == grid


async def test_query_of_a_call_with_a_body_is_refused(http: httpx.AsyncClient) -> None:
    """A `site` in the URL instead of the body is refused, so that the booking does not go to another site."""
    body = {"slot": "2030-01-07T09:00Z", "patientName": "Ada", "site": f"life-{uuid4().hex[:8]}"}
    calls = [
        ("POST", "/api/book-appointment"),
        ("POST", "/api/hold-appointment"),
        ("POST", "/api/release-hold"),
        ("PATCH", f"/api/appointments/{uuid4()}"),
    ]
    for method, path in calls:
        sent = body if method == "POST" else {"slot": body["slot"]}
        answer = await http.request(method, path, params={"site": "harbour"}, json=sent)
        assert answer.status_code == 400, path
        assert answer.json()["error"].startswith(("Query parameters are not accepted", "Unknown field site"))
