"""The life of an appointment over HTTP, from its booking to what is left of it once it is cancelled."""

from uuid import uuid4

import httpx


async def test_an_appointment_is_booked_moved_read_and_cancelled(http: httpx.AsyncClient) -> None:
    """Each call of HTTP reaches the worker that carries it out, and the next call sees what it did."""
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


async def test_an_appointment_that_is_not_there_has_no_life(http: httpx.AsyncClient) -> None:
    """Reading, moving and cancelling what was never booked is 404, each in the same words."""
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


async def test_the_grid_can_be_asked_for(http: httpx.AsyncClient) -> None:
    """A page learns where slots may lie before it offers any."""
    grid = {"slotMinutes": 5, "longestMinutes": 1440, "mostResources": 8, "mostClaims": 600}
    assert (await http.get("/api/grid")).json() == grid


async def test_a_query_is_not_passed_over(http: httpx.AsyncClient) -> None:
    """Who puts a site into the URL, not into the body, does not book in another one without noticing."""
    body = {"slot": "2030-01-07T09:00Z", "patientName": "Ada", "site": f"life-{uuid4().hex[:8]}"}
    calls = [
        ("POST", "/api/book-appointment"),
        ("POST", "/api/hold-appointment"),
        ("POST", "/api/release-hold"),
        ("PATCH", f"/api/appointments/{uuid4()}"),
    ]
    for method, path in calls:
        answer = await http.request(method, path, params={"site": "harbour"}, json=body)
        assert answer.status_code == 400, path
        assert answer.json()["error"].startswith(("Query parameters are not accepted", "Unknown field site"))


async def test_who_comes_to_the_root_is_led_to_the_documents(http: httpx.AsyncClient) -> None:
    """The address that a newcomer types shows what can be called."""
    answer = await http.get("/", follow_redirects=True)
    assert (answer.status_code, answer.url.path) == (200, "/docs")
