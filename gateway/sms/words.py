"""Read a text as people write it: "  2 ", "ok!", "Drop 1", "mon", "24.12."."""

import re
import unicodedata
from datetime import date, time, timedelta
from itertools import pairwise
from typing import Literal

from gateway.sms.phrases import Phrases
from gateway.sms.readings import UNCLEAR, Kind, Reading
from shared.contract.names import read_name

LONGEST_TEXT = 160
"""A longer text is a letter to the practice, and no command."""
LONGEST_NAME, MOST_WORDS = 60, 5
STOP_WORDS = frozenset(
    [
        "stop",
        "stopall",
        "unsubscribe",
        "cancel",
        "end",
        "quit",
        "revoke",
        "optout",
        "arret",
        "arrêt",
        "stopp",
        "abmelden",
    ]
)
START_WORDS = frozenset({"start", "unstop", "yes"})
"""As carriers know them, which block a number after a single such word, and answer it themselves."""
_DROPPED = {"Cc", "So", "Sk", "Cf", "Cs", "Co", "Cn", "Me"}
"""Categories of emoji and invisible characters."""
_VARIATION = range(0xFE00, 0xFE10)
_NUMBER = re.compile(r"(?:nr|no|number|nummer)?[#.]* *(\d{1,2})[.):!]*")
_COMMAND = re.compile(r"([^\W\d]+)[ .:#]*(?:(?:nr|no)[. ]*)?(\d{1,2})?[.!)]*")
_NUMBER_SIGN = re.compile(r"\b(?:nr|no|number|nummer)[. ]*(?=\d)")
_WORDS = re.compile(r"[^\W\d_]+|\d+")
_PLAIN = re.compile(r"[^\W_][\w .:#!),]*")
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_DATE = re.compile(r"(\d{1,2})[./](\d{1,2})[./]?(?:(\d{4}|\d{2})\.?)?")
_DATE_WORD = re.compile(rf"{_ISO.pattern}|{_DATE.pattern}")
_TIME = re.compile(
    r"\b(?P<hour>\d{1,2})(?:[:.](?P<minute>\d\d))?(?: ?(?P<unit>uhr|h|am|pm)\b|(?<=:\d\d)(?![\d:.]))"
)
_NAME = re.compile(r"[^\W\d_][^\d_<>{}()\[\]?!/\\@#*=+:;\"]*")


def read_carrier_word(text: str) -> Literal["stop", "start"] | None:
    """Return what a carrier takes a text for, if it takes it for itself."""
    word = _clean(text).casefold().strip(" .!")
    if word in STOP_WORDS:
        return "stop"
    return "start" if word in START_WORDS else None


def read_text(text: str, phrases: Phrases, today: date) -> Reading:
    """Return what a text means in a language; `today` is the date at the site."""
    clean = _clean(text)
    plain = unicodedata.normalize("NFKC", clean).casefold().strip(" .,!")
    words = [word for word in re.split(r"[ ,.!]+", plain) if word]
    asked = " ".join(word for word in plain.split() if word.strip(",.!") not in phrases.fine)
    change = _read_change(asked, phrases)
    if len(text) > LONGEST_TEXT:
        return Reading(Kind.CHANGE) if change else UNCLEAR
    if asked.strip(",.!") in phrases.no:
        return Reading(Kind.NO)
    if plain == "?":
        return Reading(Kind.HELP)
    if found := _NUMBER.fullmatch(asked):
        return Reading(Kind.NUMBER, number=int(found[1]))
    if day := _read_day(asked, phrases, today):
        return Reading(Kind.DAY, day=day)
    if change:
        return change
    if (found := _COMMAND.fullmatch(asked)) and (kind := phrases.commands.get(found[1])):
        return UNCLEAR if found[2] else Reading(kind)
    is_ok = bool(words) and phrases.commands.get(words[0]) is Kind.OK
    if not is_ok and (wish := _read_wish(asked, phrases, today)):
        return wish
    return _read_name(re.sub(r"^\w+[ ,.!]*", "", clean) if is_ok else clean, phrases)


def _read_change(text: str, phrases: Phrases) -> Reading | None:
    """Return DROP, MOVE, or CHANGE if there is more than its word and a number; None without its word."""
    words = [word for word in _WORDS.findall(_NUMBER_SIGN.sub(" ", text)) if word not in phrases.objects]
    kinds = [kind for word in words if (kind := phrases.commands.get(word)) in (Kind.DROP, Kind.MOVE)]
    if not kinds:
        return None
    numbers = [int(word) for word in words if word.isdecimal() and len(word) <= 2]
    # "Do not drop 1" and "drop 1 or 2?" are no commands.
    if len(kinds) > 1 or len(numbers) > 1 or len(words) != 1 + len(numbers) or not _PLAIN.fullmatch(text):
        return Reading(Kind.CHANGE)
    return Reading(kinds[0], number=numbers[0] if numbers else None)


def _clean(text: str) -> str:
    """Return a text without emoji and invisible characters, its white space collapsed."""
    kept = (
        " " if unicodedata.category(character) in _DROPPED or character.isspace() else character
        for character in unicodedata.normalize("NFC", text)
        if ord(character) not in _VARIATION and character != "\u20e3"
    )
    return " ".join("".join(kept).split())


def _read_day(text: str, phrases: Phrases, today: date) -> date | None:
    """Return the day that a text names, from today on; None if it names none."""
    if text == phrases.today:
        return today
    if text == phrases.tomorrow:
        return today + timedelta(days=1)
    word = text.rstrip(".")
    for number, name in enumerate(phrases.days):
        if len(word) >= phrases.shortest and name.startswith(word):
            return today + timedelta(days=(number - today.weekday()) % 7)
    if found := _ISO.fullmatch(text):
        return _date(*map(int, found.groups()))
    if found := _DATE.fullmatch(text):
        first, second = int(found[1]), int(found[2])
        month_first = phrases.month_first and "/" in text and first <= 12
        month, day = (first, second) if month_first else (second, first)
        if found[3]:
            return _date(int(found[3]) + (2000 if len(found[3]) == 2 else 0), month, day)
        this_year = _date(today.year, month, day)
        return this_year if this_year and this_year >= today else _date(today.year + 1, month, day)
    return None


def _read_wish(text: str, phrases: Phrases, today: date) -> Reading | None:
    """Return the day, and perhaps the time, of a longer text such as "fri 15:00"; None if it names no day."""
    at: time | None = None
    if (found := _TIME.search(text)) and (at := _read_time(found)):
        text = f"{text[: found.start()]} {text[found.end() :]}"
    words = [word for each in text.replace("’", "'").split() if (word := each.strip(",!?"))]
    rest = [word for word in words if word not in phrases.around_day]
    if (at or len(rest) < len(words)) and (day := _read_day(" ".join(rest), phrases, today)):
        return Reading(Kind.DAY, day=day, at=at)
    # Names have days too: Anna Freitag is a name, and "I come Friday" is none.
    is_sentence = at or not (phrases.not_names | phrases.around_day).isdisjoint(words)
    if not is_sentence or not phrases.refusals.isdisjoint(words):
        return None
    for before, word in pairwise(("", *words)):
        is_whole = word in {*phrases.days, phrases.today, phrases.tomorrow} or _DATE_WORD.fullmatch(word)
        day = _read_day(word, phrases, today) if is_whole and before not in phrases.greetings else None
        if day and day >= today:
            return Reading(Kind.DAY, day=day, at=at, loose=True)
    return None


def _read_time(found: re.Match[str]) -> time | None:
    hour, minute, half = int(found["hour"]), int(found["minute"] or 0), found["unit"]
    if half in ("am", "pm") and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half == "pm" else 0)
    return time(hour, minute) if hour < 24 and minute < 60 else None


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _read_name(text: str, phrases: Phrases) -> Reading:
    """Return a text as a name, if it may be one: a sentence is none."""
    name = text.strip(" .,!-")
    words = [word.strip(".,'") for word in name.casefold().split()]
    strange = phrases.not_names | phrases.fine | phrases.commands.keys() | STOP_WORDS | START_WORDS
    if len(name) > LONGEST_NAME or len(words) > MOST_WORDS or not strange.isdisjoint(words):
        return UNCLEAR
    if sum(character.isalpha() for character in name) < 2 or not _NAME.fullmatch(name):
        return UNCLEAR
    try:
        return Reading(Kind.NAME, name=read_name(name))
    except ValueError:  # a name that no booking may have
        return UNCLEAR
