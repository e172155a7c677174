"""The conversation with a phone, as a pure function: (state, text or outcome, facts) -> step.

Any text gets free times, numbered. A number holds one; OK or a name books it, NO gives it up. LIST, MOVE 1
and DROP 1 show and change the appointments that this phone booked. A list of free times gives up what is
held.
"""

from collections.abc import Sequence
from datetime import datetime, time, timedelta

from gateway.sms.gsm7 import is_gsm7, segments
from gateway.sms.readings import Kind, Reading
from gateway.sms.steps import (
    Book,
    Booked,
    Denied,
    Drop,
    Dropped,
    Facts,
    Find,
    Found,
    Gone,
    Held,
    Hold,
    Lead,
    Move,
    Moved,
    Offer,
    Outcome,
    Own,
    Read,
    Release,
    Released,
    State,
    Step,
    Taken,
    WasRead,
)
from gateway.sms.words import read_text
from shared.contract.replies import Appointment

MOST_OWN, MOST_LISTED = 20, 4
FRESH = timedelta(minutes=30)
"""How long the numbers of a list are valid."""
LONGEST_TITLE, SHORTEST_TITLE = 20, 8
"""Titles are cut to the first one, and to no less than the second one."""
REFERENCE_LENGTH = 8


def start(state: State, text: str, facts: Facts) -> Step:
    """Return the first step after a text."""
    if state.at is None or facts.now - state.at > FRESH:
        state = State(own=state.own)
    state = state.model_copy(update={"at": facts.now})
    reading = read_text(text, facts.phrases, facts.now.astimezone(facts.zone).date())
    if state.unsure and reading.kind not in (Kind.OK, Kind.NAME):
        # It may be booked: offering other times, or the same one, could make it two.
        return Step(state, reply=facts.phrases.settle)
    match reading.kind:
        case Kind.HELP:
            return Step(state, reply=facts.phrases.help)
        case Kind.LIST | Kind.DROP | Kind.MOVE:
            return _read(state, reading, facts)
        case Kind.CHANGE if state.own or not state.held:
            # Free times would be for a new appointment, beside the one that it is about.
            return _read(state, Reading(Kind.LIST), facts)
        case Kind.DAY if reading.day and not _is_about_held(state, reading, facts):
            begin = datetime.combine(reading.day, reading.at or time(), facts.zone)
            return _find(state, max(begin, facts.now), Lead.MOVE if state.moving else Lead.FREE, reading)
        case Kind.MORE:
            last = state.offers[-1].slot + timedelta(milliseconds=1) if state.offers else facts.now
            return _find(state, last, Lead.MOVE if state.moving else Lead.FREE)
        case Kind.NUMBER if state.offers:
            return _choose(state, reading.number or 0, facts)
        case Kind.OK | Kind.NAME if state.held:
            return Step(state, Book(state.held, state.choice, reading.name))
        case Kind.OK if state.done and not state.offers:
            return Step(state, Read(state.own, reading))
        case Kind.NO if state.held:
            return Step(state, Release(state.held))
    return _help(state, facts)


def before(step: Step) -> State | None:
    """Return the state to store before the command of a step is sent; None if none is needed.

    A booking whose outcome is never known leaves it: then the phone has to send its OK or name again.
    """
    return step.state.model_copy(update={"unsure": True}) if isinstance(step.command, Book) else None


def follow(state: State, outcome: Outcome, facts: Facts) -> Step:
    """Return the step after a command of the one before."""
    phrases = facts.phrases
    state = state.model_copy(update={"unsure": False})
    match outcome:
        case Found(find, offers):
            state = state.model_copy(update={"offers": offers, "choice": facts.message, "held": None})
            return Step(state, reply=_offers(find, offers, facts))
        case Held(offer, minutes):
            reply = _name(phrases.held, offer.slot, facts.service, offer.resources[0], facts, minutes=minutes)
            return Step(state.model_copy(update={"held": offer, "choice": facts.message}), reply=reply)
        case Released(offer):
            released = phrases.released.format(full=_full(offer.slot, facts))
            return Step(state.model_copy(update={"held": None}), reply=released)
        case Taken():
            first = state.offers[0] if state.offers else state.held
            return _find(state, max(first.slot, facts.now) if first else facts.now, Lead.TAKEN)
        case Booked(appointment, resource):
            own = Own(id=appointment.id, resource=resource)
            state = State(own=(*state.own, own)[-MOST_OWN:], done=own.id, at=state.at)
            return Step(state, reply=_confirm(phrases.booked, appointment, resource, facts))
        case Moved(appointment, resource):
            state = State(own=state.own, done=appointment.id, at=state.at)
            return Step(state, reply=_confirm(phrases.moved, appointment, resource, facts))
        case Dropped(own, appointment):
            left = tuple(each for each in state.own if each.id != own.id)
            state = state.model_copy(update={"own": left})
            return Step(state, reply=phrases.dropped.format(full=_full(appointment.slot, facts)))
        case Gone(id):
            left = tuple(each for each in state.own if each.id != id)
            state = state.model_copy(update={"own": left, "moving": None, "offers": ()})
            return Step(state, reply=phrases.gone)
        case WasRead():
            return _after_read(state, outcome, facts)
        case Denied(too_many):
            return Step(state, reply=phrases.too_many if too_many else phrases.call)


def _help(state: State, facts: Facts) -> Step:
    """Answer a text that means nothing here: with what the phone may do, or with the first free times."""
    if state.held:
        held = _full(state.held.slot, facts)
        return Step(state, reply=facts.phrases.held_help.format(full=held))
    if state.offers:
        return Step(state, reply=facts.phrases.help)
    return _find(state, facts.now, Lead.FREE)


def _choose(state: State, number: int, facts: Facts) -> Step:
    if not 1 <= number <= len(state.offers):
        return Step(state, reply=facts.phrases.help)
    offer = state.offers[number - 1]
    if state.moving:
        if state.movable_until is not None and facts.now > state.movable_until:
            return Step(state, reply=facts.phrases.call)
        return Step(state, Move(state.moving, offer, state.choice))
    if state.held and state.held.slot == offer.slot:
        return Step(state, Hold(state.held))
    return Step(state, Hold(offer, state.held))


def _find(state: State, begin: datetime, lead: Lead, reading: Reading | None = None) -> Step:
    day, at = (reading.day, reading.at) if reading else (None, None)
    return Step(state, Find(begin, lead, day, at, state.moving, state.held))


def _is_about_held(state: State, reading: Reading, facts: Facts) -> bool:
    """Return whether a sentence ("see you on Friday") may be about the time that is held."""
    if not (state.held and reading.loose):
        return False
    held = state.held.slot.astimezone(facts.zone)
    return held.date() == reading.day and reading.at in (None, held.time())


def _read(state: State, reading: Reading, facts: Facts) -> Step:
    if not state.own:
        is_gone = state.listed and reading.kind is not Kind.LIST
        return Step(state, reply=facts.phrases.gone if is_gone else facts.phrases.none_listed)
    return Step(state, Read(state.own, reading))


def _after_read(state: State, outcome: WasRead, facts: Facts) -> Step:
    """Go on with LIST, DROP, MOVE, or OK after a booking, once the appointments are known."""
    found, reading = outcome.appointments, outcome.read.reading
    mine = [one for one in found.values() if one.status == "booked" and one.slot > facts.now]
    coming = sorted(mine, key=lambda one: one.slot)
    ids = {one.id for one in coming}
    state = state.model_copy(update={"own": tuple(own for own in state.own if own.id in ids)})
    if reading.kind is Kind.OK:
        done = next((own for own in state.own if own.id == state.done), None)
        if done is None:
            return Step(state, reply=facts.phrases.gone)
        return Step(state, reply=_confirm(facts.phrases.done, found[done.id], done.resource, facts))
    if reading.kind is Kind.LIST or not (state.listed or len(coming) == 1):
        return _list(state, coming, facts)
    # A number counts in the list that the phone has, so that a second DROP 1 does not drop another one.
    listed = state.listed or (coming[0].id,)
    if reading.number is None and len(listed) > 1:
        return _list(state, coming, facts)
    number = reading.number or 1
    if not 1 <= number <= len(listed):
        return _list(state, coming, facts)
    own = next((own for own in state.own if own.id == listed[number - 1]), None)
    if own is None:
        return Step(state, reply=facts.phrases.gone)
    state = state.model_copy(update={"listed": listed})
    appointment = found[own.id]
    cut_off = max((facts.cut_offs.get(name, 0) for name in appointment.resources), default=0)
    until = appointment.slot - timedelta(minutes=cut_off)
    if until < facts.now:
        return Step(state, reply=facts.phrases.too_late.format(full=_full(appointment.slot, facts)))
    if reading.kind is Kind.DROP:
        return Step(state, Drop(own))
    # The practice may have moved it to another doctor, or to another service.
    names = appointment.resources
    resource = own.resource if own.resource in names else names[0]
    moving = Own(id=own.id, resource=resource, service=appointment.service)
    state = state.model_copy(update={"moving": moving, "movable_until": until, "offers": ()})
    return _find(state, facts.now, Lead.MOVE)


def _list(state: State, coming: Sequence[Appointment], facts: Facts) -> Step:
    if not coming:
        return Step(state, reply=facts.phrases.none_listed)
    shown = coming[:MOST_LISTED]
    lines = _numbered([one.slot for one in shown], facts)
    state = state.model_copy(update={"listed": tuple(one.id for one in shown), "offers": (), "moving": None})
    return Step(state, reply="\n".join([facts.phrases.listed, *lines, facts.phrases.list_tail]))


def _offers(find: Find, offers: Sequence[Offer], facts: Facts) -> str:
    phrases = facts.phrases
    if not offers:
        return phrases.none
    first = offers[0].slot.astimezone(facts.zone)
    lead = phrases.taken if find.lead is Lead.TAKEN else phrases.free
    if find.day and first.date() != find.day:
        wanted = datetime.combine(find.day, find.at or time(), facts.zone)
        day = phrases.short_time(wanted, facts.now) if find.at else phrases.day_of(wanted)
        lead = phrases.day_full.format(day=day)
    elif find.lead is Lead.MOVE:
        lead = phrases.move
    return "\n".join([lead, *_numbered([offer.slot for offer in offers], facts), phrases.choose])


def _numbered(slots: Sequence[datetime], facts: Facts) -> list[str]:
    times = [facts.phrases.short_time(slot.astimezone(facts.zone), facts.now) for slot in slots]
    return [f"{number} {text}" for number, text in enumerate(times, 1)]


def _confirm(phrase: str, appointment: Appointment, resource: str, facts: Facts) -> str:
    reference = appointment.id[:REFERENCE_LENGTH].upper()
    return _name(phrase, appointment.slot, appointment.service, resource, facts, reference=reference)


def _name(
    phrase: str, slot: datetime, service: str | None, resource: str, facts: Facts, **fields: object
) -> str:
    """Return a reply with the service and the doctor, as much of them as one segment has room for."""
    who = facts.titles.get(resource, resource)
    titles = [title for title in (facts.services.get(service or ""), who) if title]
    # One letter outside GSM-7 would more than halve the room.
    titles = [title for title in titles if is_gsm7(title)] or [who]
    both = [[title[:length] for title in titles] for length in range(LONGEST_TITLE, SHORTEST_TITLE - 1, -1)]
    full = _full(slot, facts)
    for shown in (*both, *([title[:LONGEST_TITLE]] for title in titles)):
        reply = phrase.format(full=full, what="".join(f", {title.strip()}" for title in shown), **fields)
        if segments(reply) == 1:
            break
    return reply


def _full(slot: datetime, facts: Facts) -> str:
    return facts.phrases.full_time(slot.astimezone(facts.zone))
