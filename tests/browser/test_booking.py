"""A person books in a browser while others book beside them."""

import asyncio
import re

import pytest
from playwright.async_api import Request, Route, expect

from tests.browser.conftest import Visit
from tests.browser.pages import Look, Site
from tests.stack import Stack

FIRST_VISIT = "&service=first-visit"


async def test_a_person_books_with_a_mouse(visit: Visit, site: Site) -> None:
    """Service, doctor, slot, name: then the booking exists, with service, contact and reference."""
    page = await visit()
    await page.button("First visit 45 minutes").click()
    await page.button("Dr Lee").click()
    await page.see_slots()
    await page.hold("10:00")
    await expect(page.heading).to_be_focused()
    await page.page.get_by_label("Phone or e-mail").fill("ada@example.org")
    await page.book("Ada Lovelace")
    (booked,) = await site.appointments()
    assert booked.items() >= {"slot": site.slot("10:00"), "patientName": "Ada Lovelace"}.items()
    assert (
        booked.items() >= {"contact": "ada@example.org", "service": "first-visit", "bufferAfter": 10}.items()
    )
    assert booked["resources"] == ["dr-lee", "room-1"]
    await expect(page.announced).to_be_empty()
    await expect(page.done).to_contain_text(booked["id"][:8].upper())
    await expect(page.done).to_contain_text("Dr Lee")


async def test_of_two_browsers_one_gets_the_slot_and_one_is_told_kindly(visit: Visit, site: Site) -> None:
    """Both choose at the same moment: one checks out, the other reads which slots are free next."""
    pages = [await visit(query=FIRST_VISIT), await visit(query=FIRST_VISIT)]
    both = asyncio.Barrier(2)

    async def wait_for_the_other(route: Route) -> None:
        await both.wait()
        await route.continue_()

    for page in pages:
        await page.see_slots()
        await page.page.route("**/api/hold-appointment", wait_for_the_other, times=1)
    await asyncio.gather(*(page.slot("10:00").click() for page in pages))
    for page in pages:
        await expect(page.held.or_(page.alert)).to_be_visible()
    won = [page for page in pages if await page.held.is_visible()]
    lost = [page for page in pages if page not in won]
    assert len(won) == 1
    (winner,), (loser,) = won, lost
    await expect(loser.alert).to_contain_text("Somebody")
    await expect(loser.alert).to_contain_text("Free next: 11:00, 12:00, 13:00")
    await expect(loser.button("First visit 45 minutes")).to_have_attribute("aria-pressed", "true")
    await winner.book("Ada")
    await expect(loser.slot("10:00")).to_contain_text("taken")
    await loser.alert.get_by_role("button", name="11:00").click()
    await expect(loser.held).to_be_visible()
    await loser.book("Grace")
    booked = {each["slot"]: each["patientName"] for each in await site.appointments()}
    assert booked == {site.slot("10:00"): "Ada", site.slot("11:00"): "Grace"}


async def test_after_a_lost_race_only_times_that_are_free_are_offered(visit: Visit, site: Site) -> None:
    """The times are read after the refusal, and follow what others book from then on."""
    page = await visit(query=FIRST_VISIT)
    await page.page.route("**/api/live?*", lambda route: route.abort())
    await page.page.reload()
    await page.see_slots()
    await asyncio.gather(site.book("10:00", "room-1"), site.book("11:00", "room-1"))
    await page.slot("10:00").click()
    await expect(page.alert).to_contain_text("Somebody was faster. Free next: 12:00, 13:00, 14:00")
    await expect(page.slot("11:00")).to_have_accessible_name(re.compile("11:00 taken$"))
    await page.page.unroute("**/api/live?*")
    await site.book("12:00", "room-1")
    await expect(page.alert).to_contain_text("Free next: 13:00, 14:00, 15:00")
    await page.alert.get_by_role("button", name="13:00").click()
    await expect(page.held).to_be_visible()


async def test_a_slot_that_somebody_takes_says_so_while_one_looks(visit: Visit, site: Site) -> None:
    """A slot goes grey with words, cannot be chosen, and comes back when it is free again."""
    page = await visit(query=FIRST_VISIT)
    await page.see_slots()
    slot = page.slot("10:00")
    await expect(slot).to_have_accessible_name(re.compile("10:00 free$"))
    booked = await site.book("10:00", "room-1")
    await expect(slot).to_have_accessible_name(re.compile("10:00 taken$"))
    await expect(slot).to_have_attribute("aria-disabled", "true")
    await slot.click(force=True)
    await expect(page.alert).to_contain_text("10:00 was just taken. Free next: 11:00, 12:00, 13:00")
    await site.http.delete(f"/api/appointments/{booked['id']}")
    await expect(slot).to_have_accessible_name(re.compile("10:00 free$"))
    await page.hold("10:00")


async def test_a_slot_that_was_taken_at_first_appears_when_it_is_free(visit: Visit, site: Site) -> None:
    """A slot that is freed is listed, although it was not when the page was opened."""
    booked = await site.book("11:00", "room-1")
    page = await visit(query=FIRST_VISIT)
    await page.see_slots()
    await expect(page.slot("11:00")).to_have_count(0)
    await site.http.delete(f"/api/appointments/{booked['id']}")
    await expect(page.slot("11:00")).to_be_visible()


async def test_nobody_is_told_that_their_own_slot_was_taken(visit: Visit, site: Site) -> None:
    """The event of the own hold arrives before the answer to it, while its button has the focus."""
    page = await visit(query=FIRST_VISIT)
    await page.see_slots()
    seen = asyncio.Event()

    async def answer_late(route: Route) -> None:
        answer = await route.fetch()
        await seen.wait()
        await route.fulfill(response=answer)

    await page.page.route("**/api/hold-appointment", answer_late, times=1)
    await page.slot("10:00").click()
    await expect(page.slot("10:00")).to_contain_text("being booked")
    await expect(page.announced).to_have_text("Keeping this time for you …")
    seen.set()
    await expect(page.held).to_be_visible()
    await expect(page.announced).to_be_empty()


@pytest.mark.parametrize("path", ["%E0%A4%A", "no%20site", "unknown"])
async def test_a_page_of_no_site_says_so(visit: Visit, stack: Stack, path: str) -> None:
    """Also if the name in the address is not well encoded, or none of a site."""
    page = await visit()
    await page.page.goto(f"{stack.url}/book/{path}")
    await expect(page.page.get_by_text("Nothing can be booked here at the moment.")).to_be_visible()


async def test_any_doctor_means_the_one_who_is_free(visit: Visit, site: Site) -> None:
    """If the first doctor is taken, the booking is with the second."""
    page = await visit(query="&service=check-up")
    await page.see_slots()
    await site.book("10:00", "dr-khan")
    await page.hold("10:00")
    await page.book()
    assert [each["resources"] for each in await site.appointments() if each.get("service")] == [["dr-lee"]]


async def test_a_double_click_books_once(visit: Visit, site: Site) -> None:
    """Two clicks on a slot are one hold, and two on the button are one booking."""
    page = await visit(query=FIRST_VISIT)
    await page.see_slots()
    holds: list[Request] = []
    page.page.on("request", lambda sent: holds.append(sent) if "hold-app" in sent.url else None)
    await page.slot("10:00").dblclick()
    await expect(page.held).to_be_visible()
    assert len(holds) == 1
    await page.name.fill("Ada")
    await page.submit.dblclick()
    await expect(page.done).to_be_visible()
    assert len(await site.appointments()) == 1


async def test_back_leaves_the_checkout_and_frees_the_slot(visit: Visit, site: Site) -> None:
    """The back button shows the slots again, with the choice; the same slot can be held anew."""
    page = await visit(query=FIRST_VISIT)
    await page.see_slots()
    await page.hold("10:00")
    assert {row["state"] for row in await site.taken()} == {"held"}
    await page.name.fill("Ada Lovelace")
    await page.page.go_back()
    await expect(page.held).to_have_count(0)
    await expect(page.page.locator("#slot-heading")).to_be_focused()
    await page.hold("10:00")
    await expect(page.name).to_have_value("Ada Lovelace")
    await page.book()
    await page.page.go_back()
    await expect(page.done).to_be_visible()
    await page.button("Book another").click()
    await expect(page.slot("12:00")).to_be_visible()
    await expect(page.slot("10:00")).to_have_count(0)
    assert len(await site.appointments()) == 1


async def test_leaving_the_page_releases_the_hold(visit: Visit, site: Site) -> None:
    """A closed page holds nothing: another person sees its slot become free."""
    page, other = await visit(query=FIRST_VISIT), await visit(query=FIRST_VISIT)
    await other.see_slots()
    await page.see_slots()
    await page.hold("10:00")
    await expect(other.slot("10:00")).to_contain_text("being booked")
    await page.page.goto("about:blank")
    await expect(other.slot("10:00")).to_have_accessible_name(re.compile("free$"))


async def test_a_reload_keeps_the_hold_and_what_was_written(visit: Visit, site: Site) -> None:
    """After a reload in the checkout, the slot is held again, by a new hold."""
    page = await visit(query=FIRST_VISIT)
    await page.see_slots()
    await page.hold("10:00")
    await page.name.fill("Ada Lovelace")
    await page.page.reload()
    await expect(page.held).to_be_visible()
    await expect(page.name).to_have_value("Ada Lovelace")
    await page.book()
    assert len(await site.appointments()) == 1


async def test_a_reload_in_the_middle_of_a_booking_books_once(visit: Visit, site: Site) -> None:
    """The booking was made, and its reply lost with the page: the reloaded page finds it by its key."""
    page = await visit(query=FIRST_VISIT)
    await page.see_slots()
    await page.hold("10:00")
    booked = asyncio.Event()

    async def lose_the_reply(route: Route) -> None:
        await route.fetch()
        booked.set()

    await page.page.route("**/api/book-appointment", lose_the_reply, times=1)
    await page.name.fill("Ada")
    await page.submit.click()
    await booked.wait()
    await page.page.reload()
    await expect(page.done).to_be_visible()
    (only,) = await site.appointments()
    await expect(page.done).to_contain_text(only["id"][:8].upper())


async def test_a_booking_waits_for_the_connection(visit: Visit, site: Site) -> None:
    """Offline, the page says so and keeps trying; online again, the booking is made, once."""
    page = await visit(query=FIRST_VISIT)
    await page.see_slots()
    await page.hold("10:00")
    await page.page.context.set_offline(True)
    await page.name.fill("Ada")
    await page.submit.click()
    await expect(page.page.locator(".checkout [role=alert]")).to_contain_text("No connection")
    await page.page.context.set_offline(False)
    await expect(page.done).to_be_visible()
    assert len(await site.appointments()) == 1


async def test_a_wrong_name_is_told_at_its_field(visit: Visit, site: Site) -> None:
    """An empty name and one that the service refuses are told beside the field, which has the focus."""
    page = await visit(query=FIRST_VISIT)
    await page.see_slots()
    await page.hold("10:00")
    await page.submit.click()
    await expect(page.name).to_have_accessible_description("Please tell us your name.")
    await expect(page.name).to_be_focused()
    await page.name.fill("Ada \u202e")
    await page.submit.click()
    await expect(page.name).to_have_accessible_description(re.compile("Please check the name"))
    await page.book()


async def test_the_visitors_own_time_stands_beside_the_sites(visit: Visit, site: Site) -> None:
    """A person in another zone reads the time of the site and their own."""
    page = await visit(Look(zone="Asia/Tokyo", locale="de-DE"), query=FIRST_VISIT)
    await page.see_slots()
    await expect(page.slot("10:00")).to_contain_text(re.compile("bei Ihnen 1[78]:00"))
    await expect(page.page.locator("html")).to_have_attribute("lang", "de")


async def test_the_countdown_is_announced_and_can_run_out(visit: Visit, site: Site) -> None:
    """At 60 and 20 seconds a status says how much time is left; at 0 the page offers to hold again."""
    page = await visit(query=FIRST_VISIT)
    await page.page.clock.install()
    await page.see_slots()
    await page.hold("10:00")
    status = page.announced
    await expect(status).to_be_empty()
    await page.page.clock.fast_forward(235_000)
    await expect(page.held).to_have_text(re.compile("^1:"))
    await expect(status).not_to_contain_text("seconds left")
    await page.page.clock.run_for(8_000)
    await expect(status).to_have_text(re.compile("^(60|59) seconds left.$"))
    await page.page.clock.run_for(40_000)
    await expect(status).to_have_text(re.compile("^(20|19) seconds left.$"))
    await page.button("More time").click()
    await expect(page.held).to_have_text(re.compile("^[45]:"))
    await page.page.clock.fast_forward(310_000)
    await page.page.clock.run_for(1_000)
    await expect(page.heading).to_have_text("Your time is over")
    await expect(page.heading).to_be_focused()
    await page.page.clock.run_for(100)
    await expect(status).to_be_empty()
