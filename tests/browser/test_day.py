"""A receptionist runs the day: books, moves, cancels, undoes, and edits the opening hours."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Route, expect

from deploy.local.ports import free_port
from tests.browser.day_page import DayPage, open_day
from tests.browser.pages import ALL_DAYS, SCHEDULES, Look, Site
from tests.browser.test_keyboard import tab_to
from tests.browser.test_states import audit
from tests.keys import KeyFile, bearer
from tests.stack import Stack, wait_until

Open = Callable[..., Awaitable[DayPage]]
NOT_HTML = "<img src=x onerror=alert(1)>"


@pytest.fixture
async def open_page(browser: Browser, stack: Stack, site: Site) -> AsyncIterator[Open]:
    """Open the day of the site, as another person each time."""
    opened: list[DayPage] = []

    async def open_page(**options: object) -> DayPage:
        day = await open_day(browser, stack.url, site, **options)  # type: ignore[arg-type]
        opened.append(day)
        return day

    yield open_page
    for day in opened:
        await day.close()


async def slots(site: Site) -> dict[str, tuple[str, list[str]]]:
    """Return the slot and the resources of each name of the day."""
    return {each["patientName"]: (each["slot"], each["resources"]) for each in await site.appointments()}


async def test_a_click_on_a_gap_books_there(open_page: Open, site: Site) -> None:
    """The dialog has the time and the doctor of the gap; the service adds its room."""
    day = await open_page(view="grid")
    await expect(day.page.locator(".ec-col-head").first).to_be_visible()
    await day.click_gap("Dr Lee", 11)
    await expect(day.dialog.get_by_label("Time", exact=True)).to_have_value("11:00")
    await day.fill(Name="Ada Lovelace", Contact="+49 40 12")
    await day.dialog.get_by_role("button", name="Book").click()
    await day.say("Booked: Ada Lovelace, 11:00, Dr Lee, Room 1.")
    await expect(day.event("Ada Lovelace").get_by_role("button")).to_be_focused()
    (booked,) = await site.appointments()
    assert booked["contact"] == "+49 40 12"
    assert (booked["slot"], booked["resources"]) == (site.slot("11:00"), ["dr-lee", "room-1"])


async def test_drag_moves_and_a_taken_slot_keeps_the_old_one(open_page: Open, site: Site) -> None:
    """An event goes to another time and doctor; dropped on a taken one, it returns to where it was."""
    await site.book("10:00", "dr-lee", name="Ada")
    await site.book("14:00", "dr-lee", name="Grace")
    # The browser of this person is in another zone than the site.
    day = await open_page(view="grid", look=Look(zone="America/New_York", width=1300))
    await expect(day.event("Grace")).to_be_visible()
    await day.drag("Ada", "Dr Khan", 12)
    await day.say("Moved: Ada, now 12:00, Dr Khan.")
    assert (await slots(site))["Ada"] == (site.slot("12:00"), ["dr-khan"])
    await expect(day.event("Ada")).to_contain_text("12:00")
    await expect(day.event("Ada").get_by_role("button")).to_be_focused()
    await day.drag("Ada", "Dr Lee", 14)
    await day.say("This time is taken.")
    await expect(day.event("Ada")).to_contain_text("12:00")
    assert (await slots(site))["Ada"] == (site.slot("12:00"), ["dr-khan"])
    await expect(day.dialog).to_have_count(0)


async def test_the_keyboard_alone_books_moves_and_cancels(open_page: Open, site: Site) -> None:
    """Tab, Enter and letters are enough; after each change the focus is where one works."""
    day = await open_page()
    press, write = day.page.keyboard.press, day.page.keyboard.type
    await tab_to(day, day.button("New appointment"))  # type: ignore[arg-type]
    await press("Enter")
    await write("Ada Lovelace")
    await press("Enter")
    await day.say("Booked: Ada Lovelace")
    await expect(day.button("New appointment")).to_be_focused()
    await tab_to(day, day.button("Move … Ada"))  # type: ignore[arg-type]
    await press("Enter")
    await tab_to(day, day.dialog.get_by_label("Time", exact=True))  # type: ignore[arg-type]
    await write("1500")
    await press("Enter")
    await day.say("Moved: Ada Lovelace, now 15:00")
    await expect(day.button("Move … Ada")).to_be_focused()
    assert (await slots(site))["Ada Lovelace"][0] == site.slot("15:00")
    await tab_to(day, day.button("Cancel Ada"))  # type: ignore[arg-type]
    await press("Enter")
    await day.say("Cancelled: Ada Lovelace")
    await expect(day.page.locator("#day-heading")).to_be_focused()
    assert await site.appointments() == []


async def test_undo_books_anew_and_says_so_if_the_slot_is_gone(open_page: Open, site: Site) -> None:
    """A cancelled appointment comes back with a new id; once another has its slot, undo says so."""
    before = await site.book("10:00", "dr-lee", name="Ada")
    day = await open_page()
    await day.button("Cancel Ada").click()
    await day.say("Cancelled: Ada")
    await day.button("Undo").click()
    await day.say("Booked again: Ada, 10:00, Dr Lee.")
    (again,) = await site.appointments()
    assert again["id"] != before["id"]
    await day.button("Cancel Ada").click()
    await day.say("Cancelled: Ada")
    await site.book("10:00", "dr-lee", name="Grace")
    await day.button("Undo").click()
    await day.say("This cannot be undone. This time is taken.")
    assert list(await slots(site)) == ["Grace"]


async def test_undo_keeps_the_attendance(open_page: Open, site: Site) -> None:
    """A move to another slot makes the patient expected again; its undo and a cancel's keep "arrived"."""
    await site.book("10:00", "dr-lee", name="Ada")
    day = await open_page()
    await day.button("Arrived Ada").click()
    await day.say("Arrived: Ada")
    await day.button("Move … Ada").click()
    await day.fill(Time="12:00")
    await day.dialog.get_by_role("button", name="Move").click()
    await day.say("Moved: Ada, now 12:00, Dr Lee. Expected again: Ada, 12:00.")
    await expect(day.row("Ada")).to_contain_text("expected")
    await day.button("Undo").click()
    await day.say("As it was before: Ada, 10:00, Dr Lee.")
    await expect(day.row("Ada")).to_contain_text("arrived")
    await day.button("Cancel Ada").click()
    await day.say("Cancelled: Ada")
    await day.button("Undo").click()
    await day.say("Booked again: Ada, 10:00, Dr Lee.")
    (again,) = await site.appointments()
    assert again["attendance"] == "arrived"
    await day.button("Undo").click()
    await expect(day.row("Ada")).to_contain_text("expected")


async def test_undo_goes_back_through_own_changes_alone(open_page: Open, site: Site) -> None:
    """Move, cancel and their undoing follow each other; a change by somebody else is not undone."""
    await site.book("10:00", "dr-lee", name="Ada")
    day = await open_page()
    await day.button("Move … Ada").click()
    await day.fill(Time="12:00")
    await day.dialog.get_by_role("button", name="Move").click()
    await day.say("now 12:00")
    await day.button("Cancel Ada").click()
    await day.say("Cancelled")
    await day.button("Undo").click()
    await day.say("Booked again: Ada, 12:00")
    (again,) = await site.appointments()
    moved = await site.http.patch(f"/api/appointments/{again['id']}", json={"slot": site.slot("16:00")})
    assert moved.status_code == 200
    await day.button("Undo").click()
    await day.say("Somebody else changed this in the meantime.")
    assert (await slots(site))["Ada"][0] == site.slot("16:00")


async def test_dialogs_show_what_somebody_else_changed(open_page: Open, site: Site) -> None:
    """After a refusal, an open dialog has the new state, and its next attempt the new version."""
    url = f"/api/appointments/{(await site.book('10:00', 'dr-lee', name='Ada'))['id']}"
    day = await open_page()
    submit = day.dialog.locator(".primary")
    await day.button("Move … Ada").click()
    await site.http.patch(url, json={"slot": site.slot("12:00"), "resources": ["dr-khan"]})
    await day.fill(Time="15:00")
    await submit.click()
    await expect(day.dialog.get_by_role("alert")).to_contain_text("Somebody else changed this")
    await expect(day.dialog.get_by_label("Time", exact=True)).to_have_value("12:00")
    await expect(day.dialog.get_by_label("With")).to_have_value("dr-khan")
    await day.fill(Time="15:00")
    await submit.click()
    await day.say("Moved: Ada, now 15:00, Dr Khan.")
    await day.button("Correct name … Ada").click()
    await site.http.patch(url, json={"patientName": "Adele"})
    await day.fill(Name="Ada Lovelace")
    await submit.click()
    await expect(day.dialog.locator("dl")).to_contain_text("Adele")
    await submit.click()
    await day.say("Name corrected: Ada Lovelace")
    assert await slots(site) == {"Ada Lovelace": (site.slot("15:00"), ["dr-khan"])}


async def test_a_booking_whose_reply_is_lost_is_made_once(open_page: Open, site: Site) -> None:
    """The page says that it waits, and repeats the request with the same key."""
    day = await open_page()
    keys: list[str | None] = []

    async def lose_the_reply(route: Route) -> None:
        keys.append(await route.request.header_value("Idempotency-Key"))
        if len(keys) == 1:
            await route.fetch()
            await route.abort()
        else:
            await expect(day.dialog.get_by_role("alert")).to_have_text("No connection. We keep trying.")
            await route.continue_()

    await day.page.route("**/api/book-appointment", lose_the_reply)
    await day.button("New appointment").click()
    await day.fill(Name="Ada")
    await day.dialog.get_by_role("button", name="Book").click()
    await day.say("Booked: Ada")
    assert len(await site.appointments()) == 1
    assert len(keys) == 2
    assert keys[0] == keys[1]


async def test_attendance_and_name_are_corrected(open_page: Open, site: Site) -> None:
    """Arrived, missed and a corrected name are stored, shown and can be undone."""
    await site.book("10:00", "dr-lee", name="Ada Lovelase")
    day = await open_page()
    await day.button("Arrived Ada").click()
    await day.say("Arrived: Ada Lovelase")
    await expect(day.row("Ada")).to_contain_text("arrived")
    await day.button("Correct name … Ada").click()
    await day.fill(Name="Ada Lovelace")
    await day.dialog.get_by_role("button", name="Save").click()
    await day.say("Name corrected: Ada Lovelace")
    (booked,) = await site.appointments()
    assert (booked["patientName"], booked["attendance"]) == ("Ada Lovelace", "arrived")
    await day.button("Undo").click()
    await expect(day.row("Ada Lovelase")).to_be_visible()
    await day.button("Undo").click()
    await expect(day.row("Ada Lovelase")).to_contain_text("expected")


async def test_the_day_shows_what_others_do(open_page: Open, site: Site) -> None:
    """Another caller's booking, hold and cancel appear without a reload; names are text, not HTML."""
    day = await open_page()
    await expect(day.button("Book …").first).to_be_visible()
    booked = await site.book("10:00", "dr-lee", name=NOT_HTML)
    await expect(day.row(NOT_HTML)).to_be_visible()
    await day.button("Grid").click()
    await expect(day.event(NOT_HTML)).to_be_visible()
    assert await day.page.locator("img").count() == 0
    await day.button("Table").click()
    body = {"site": site.name, "slot": site.slot("11:00"), "patientName": "Eve", "resources": ["dr-lee"]}
    assert (await site.http.post("/api/hold-appointment", json=body)).status_code == 200
    await expect(day.row("held by a patient")).to_be_visible()
    await day.button("Grid").click()
    await expect(day.page.locator(".bg-held").first).to_have_text("held")
    await day.button("Table").click()
    await site.http.delete(f"/api/appointments/{booked['id']}")
    await expect(day.row(NOT_HTML)).to_have_count(0)


async def test_the_filter_finds_a_name(open_page: Open, site: Site) -> None:
    """Only appointments with the letters in their name are shown; case and accents do not matter."""
    await site.book("10:00", "dr-lee", name="Ada Lovelace")
    await site.book("10:00", "dr-khan", name="Grace Hopper")
    day = await open_page()
    await expect(day.row("Grace Hopper")).to_be_visible()
    await site.book("12:00", "dr-khan", name="Jörg Müller-Strauß")
    for part in ("MULLER", "müller", "strauss"):
        await day.page.get_by_label("Find a name").fill(part)
        await expect(day.row("Jörg")).to_be_visible()
        await expect(day.row("Grace Hopper")).to_have_count(0)
    await day.page.get_by_label("Find a name").fill("lOVE")
    await expect(day.row("Grace Hopper")).to_have_count(0)
    await expect(day.page.get_by_text("1 appointment", exact=True)).to_be_visible()
    await day.button("Grid").click()
    await expect(day.event("Ada Lovelace")).to_be_visible()
    await expect(day.event("Grace Hopper")).to_have_count(0)


async def test_a_printed_day_is_a_plain_table(open_page: Open, site: Site) -> None:
    """From the grid in the dark, A4 paper has a table in black on white, one line for each appointment."""
    names = [f"Patient {hour}" for hour in range(9, 18)]
    for hour, name in enumerate(names, start=9):
        await site.book(f"{hour:02}:00", "dr-lee", name=name)
    day = await open_page(view="grid", look=Look(scheme="dark", width=794))
    await expect(day.event(names[0])).to_be_visible()
    await day.page.emulate_media(media="print", color_scheme="dark")
    for name in names:
        box = await day.row(name).bounding_box()
        assert box
        assert box["height"] < 30
    await expect(day.page.locator(".grid-view")).to_be_hidden()
    await expect(day.page.locator("#day-heading")).to_be_visible()
    body = day.page.locator("body")
    await expect(body).to_have_css("color", "rgb(0, 0, 0)")
    await expect(body).to_have_css("background-color", "rgb(255, 255, 255)")
    await expect(day.row(names[0])).to_have_css("color", "rgb(0, 0, 0)")


async def test_appointments_outside_the_opening_hours_say_so(open_page: Open, site: Site) -> None:
    """The table and the grid name them in words; others have no such words."""
    await site.book("09:00", "dr-lee", name="Ada")
    await site.book("12:00", "dr-lee", name="Grace")
    shorter = [{"days": ALL_DAYS, "from": "10:00", "to": "18:00"}]
    await site.store("dr-lee", {**SCHEDULES["dr-lee"], "weekly": shorter})
    day = await open_page()
    await expect(day.row("Ada")).to_contain_text("expected, outside the opening hours")
    await expect(day.row("Grace")).not_to_contain_text("outside")
    await day.button("Grid").click()
    await expect(day.event("Ada").get_by_role("button")).to_have_accessible_name(
        re.compile("outside the opening")
    )
    await expect(day.event("Grace")).not_to_contain_text("outside")
    await audit(day.page, "outside the opening hours")


async def test_edited_hours_change_what_is_free(open_page: Open, site: Site) -> None:
    """New hours hold at once; bookings outside of them are listed; a refusal is plain words at its field."""
    await site.book("16:00", "dr-lee", name="Ada")
    day = await open_page(part="#hours")
    await day.page.get_by_label("With").select_option("dr-lee")
    times = day.page.get_by_role("group", name="Weekly hours").get_by_label("To")
    await times.fill("08:00")
    await day.button("Save").click()
    await expect(day.page.get_by_role("alert")).to_have_text("The end must be later than the beginning.")
    await expect(times).to_be_focused()
    await expect(times).to_have_attribute("aria-invalid", "true")
    await times.fill("12:00")
    await day.button("Add hours").click()
    await day.page.get_by_role("checkbox", name="Tuesday").last.check()
    await day.button("Save").click()
    await expect(day.page.get_by_role("alert")).to_have_text(
        "On Tuesday, the hours in lines 1 and 2 overlap."
    )
    await day.button("Remove Weekly hours").last.click()
    await day.button("Save").click()
    await expect(day.page.get_by_text("1 booked appointment lies outside the hours.")).to_be_visible()
    await expect(day.page.get_by_role("listitem").filter(has_text="Ada")).to_be_visible()
    stored = (await site.http.get(f"/api/schedules/{site.name}/dr-lee")).json()["schedule"]
    assert (stored["weekly"][0]["to"], stored["version"], stored["enforced"]) == ("12:00", 2, True)
    await day.page.get_by_role("link", name="Day", exact=True).click()
    await day.button("Table").click()
    await expect(day.row("9:00–12:00").filter(has_text="Dr Lee")).to_contain_text("free")


async def test_hours_that_somebody_else_changed_are_not_overwritten(open_page: Open, site: Site) -> None:
    """A save of an old version says so, and offers the hours as they are now; saved once more, it counts."""
    day = await open_page(part="#hours")
    await day.page.get_by_label("With").select_option("dr-lee")
    await site.store("dr-lee", {"title": "Dr Lee-Smith"})
    await day.button("Save").click()
    await expect(day.page.get_by_role("alert")).to_contain_text("Somebody else changed these hours")
    await day.button("Save").click()
    await expect(day.page.get_by_text("Saved.").first).to_be_visible()
    await site.store("dr-lee", {"title": "Dr Lee-Smith"})
    await day.button("Save").click()
    await day.button("Show the hours as they are now").click()
    await expect(day.page.locator("form").get_by_label("Name for patients").first).to_have_value(
        "Dr Lee-Smith"
    )


async def test_a_new_resource_does_not_replace_one_of_its_name(open_page: Open, site: Site) -> None:
    """A short name that exists already is said so, and its hours stay."""
    day = await open_page(part="#hours")
    await day.page.get_by_label("With").select_option(label="A new doctor or room …")
    form = day.page.locator("form.hours")
    await form.get_by_label("Short name").fill("dr-lee")
    await form.get_by_label("Name for patients").first.fill("Another doctor")
    await day.button("Save").click()
    await expect(day.page.get_by_role("alert")).to_contain_text("Somebody else changed these hours")
    stored = (await site.http.get(f"/api/schedules/{site.name}/dr-lee")).json()["schedule"]
    assert stored["title"] == "Dr Lee"


async def test_every_state_of_the_day_is_accessible(open_page: Open, site: Site) -> None:
    """Axe finds nothing in grid, table, dialogs and hours, in both schemes; all fits a small phone."""
    await site.book("10:00", "dr-lee", name="Ada Lovelace")
    day = await open_page(look=Look(locale="de-DE", width=1300), part="#day")  # its words are longer
    views = day.page.locator(".views button")
    await views.nth(0).click()
    await expect(day.event("Ada")).to_be_visible()
    await audit(day.page, "grid")
    await day.event("Ada").click()
    await audit(day.page, "details")
    await day.page.keyboard.press("Escape")
    await views.nth(1).click()
    await audit(day.page, "table")
    await day.page.locator(".toolbar .primary").click()
    await day.dialog.get_by_label("Name", exact=True).fill("Grace")
    await day.dialog.locator("select").last.select_option("dr-lee")
    await day.dialog.locator("[type=time]").fill("10:00")
    await day.dialog.locator(".primary").click()
    await expect(day.dialog.get_by_role("alert").get_by_role("button")).to_be_visible()
    await audit(day.page, "a taken slot")
    await day.page.keyboard.press("Escape")
    await day.page.locator("nav a").last.click()
    await expect(day.page.locator("form.hours")).to_be_visible()
    await audit(day.page, "hours")


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def closed(stack: Stack, key_file: KeyFile) -> str:
    """Start one more gateway, which has keys; return its address."""
    return start_gateway(stack, key_file, PAGE_KEY=key_file.new("book", "hold", kind="publishable"))


def start_gateway(stack: Stack, keys: KeyFile, **settings: str) -> str:
    port = free_port()
    stack.start("gateway", PORT=str(port), API_KEYS_FILE=str(keys.path), **settings)
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200, "the gateway is ready")
    return url


def known(url: str, key: str) -> str:
    """Wait until the gateway has read a new key from its file, at most once a second; return the key."""
    grid, headers = f"{url}/api/grid", bearer(key)
    wait_until(lambda: httpx.get(grid, headers=headers).status_code != 401, "the gateway knows the key")
    return key


async def test_a_page_without_a_key_asks_for_one_without_blame(
    browser: Browser, stack: Stack, site: Site, tmp_path: Path
) -> None:
    """In a deployment with keys and no key of its pages, only a key that was sent is called wrong."""
    keys = KeyFile(tmp_path / "keys.json")
    keys.new("book")
    url = start_gateway(stack, keys)
    day = await open_day(browser, url, site, part="#day")
    await expect(day.page.get_by_label("Key")).to_be_focused()
    await expect(day.page.get_by_role("alert")).to_be_empty()
    await day.page.get_by_label("Key").fill("sk_wrong")
    await day.button("Use the key").click()
    await expect(day.page.get_by_role("alert")).to_contain_text("is not valid")
    await day.page.reload()
    await expect(day.page.get_by_label("Key")).to_be_focused()
    await expect(day.page.get_by_role("alert")).to_be_empty()
    await day.close()


async def test_the_key_of_the_desk_is_asked_for(
    browser: Browser, site: Site, closed: str, key_file: KeyFile
) -> None:
    """The pages' own key shows no day. The desk's key is kept for the tab alone, and never in an address."""
    await site.book("10:00", "dr-lee", name="Ada Lovelace")
    desk = key_file.new("book", "move", "cancel", "read", "names", "schedules")
    weak = known(closed, key_file.new("hold"))
    day = await open_day(browser, closed, site, part="#day")
    addresses: list[str] = []
    day.page.on("request", lambda request: addresses.append(request.url))
    for key, why in (("sk_wrong", "is not valid"), (weak, "does not permit this")):
        await day.page.get_by_label("Key").fill(key)
        await day.button("Use the key").click()
        await expect(day.page.get_by_role("alert")).to_contain_text(why)
    await day.page.get_by_label("Key").fill(desk)
    await day.button("Use the key").click()
    await day.button("Table").click()
    await day.button("Arrived Ada").click()
    await day.say("Arrived: Ada Lovelace")
    await day.page.reload()
    await expect(day.row("Ada Lovelace")).to_contain_text("arrived")
    assert not any(desk in address for address in addresses)
    await day.close()
