"""The words of each language: what replies say, and which words a patient may use.

A carrier takes STOP, CANCEL, END, QUIT, YES, START, HELP and the like for itself: none of them is a command.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.sms.readings import Kind


@dataclass(frozen=True, eq=False)
class Phrases:
    """A language.

    `short`, `full`, `day`: formats of a time, with the fields of `_fields`. `commands`: the words that a
    patient may use, by kind. `days`: full names from Monday on, of which a begin of `shortest` letters does.
    `objects`: what may stand beside DROP or MOVE and changes nothing. `no`: answers that refuse.
    `around_day`: what may stand beside a day and a time. `refusals`: the day of a sentence with such a word
    is not wanted. `greetings`: a word after one of them is no day. `not_names`: words that no name has.
    """

    code: str
    months: tuple[str, ...]
    days: tuple[str, ...]
    shortest: int
    short: str
    full: str
    day: str
    with_year: str
    month_first: bool
    today: str
    tomorrow: str
    commands: Mapping[str, Kind]
    objects: frozenset[str]
    no: frozenset[str]
    around_day: frozenset[str]
    refusals: frozenset[str]
    greetings: frozenset[str]
    fine: frozenset[str]
    not_names: frozenset[str]
    free: str
    none: str
    taken: str
    day_full: str
    move: str
    choose: str
    held: str
    held_help: str
    released: str
    booked: str
    done: str
    moved: str
    dropped: str
    gone: str
    listed: str
    none_listed: str
    list_tail: str
    too_late: str
    too_many: str
    call: str
    retry: str
    settle: str
    help: str

    def short_time(self, local: datetime, now: datetime) -> str:
        """Return a time for lists: "Mon 7 Jan 09:00"; the year stands in times that are far away."""
        year = self.with_year.format(year=local.year) if (local - now).days > FAR_DAYS else ""
        return self.short.format(**self._fields(local), far=year)

    def full_time(self, local: datetime) -> str:
        """Return a time in full words: "Monday 7 January 2030 at 09:00".

        An hour that a clock change repeats has its offset.
        """
        twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
        text = self.full.format(**self._fields(local))
        return f"{text} ({local:UTC%z})" if twice else text

    def day_of(self, local: datetime) -> str:
        """Return a day: "Mon 7 Jan"."""
        return self.day.format(**self._fields(local))

    def _fields(self, local: datetime) -> dict[str, object]:
        day, month = self.days[local.weekday()], self.months[local.month - 1]
        return {
            "weekday": day.capitalize(),
            "wd": day[: self.shortest].capitalize(),
            "day": local.day,
            "month": month,
            "mon": month[:3],
            "number": local.month,
            "year": local.year,
            "time": f"{local:%H:%M}",
        }


FAR_DAYS = 300
_COMMANDS = {
    "ok": Kind.OK,
    "okay": Kind.OK,
    "more": Kind.MORE,
    "list": Kind.LIST,
    **dict.fromkeys(["drop", "delete", "remove"], Kind.DROP),
    **dict.fromkeys(["move", "change", "reschedule"], Kind.MOVE),
    "help": Kind.HELP,
    "info": Kind.HELP,
}
_OBJECTS = frozenset({"my", "the", "appointment", "booking"})
_NO = frozenset({"no", "nope", "nah"})


def _spelled(kind: Kind, *words: str) -> dict[str, Kind]:
    """Return the kind of words, and of their spellings without umlauts."""
    umlauts = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
    return dict.fromkeys([*words, *(word.translate(umlauts) for word in words)], kind)


ENGLISH = Phrases(
    code="en",
    months=(
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ),
    days=("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    shortest=3,
    short="{wd} {day} {mon}{far} {time}",
    full="{weekday} {day} {month} {year} at {time}",
    day="{wd} {day} {mon}",
    with_year=" {year}",
    month_first=True,
    today="today",
    tomorrow="tomorrow",
    commands=_COMMANDS,
    objects=_OBJECTS,
    no=_NO,
    around_day=frozenset({"on", "at", "from", "next", "this", "coming", "around", "after"}),
    refusals=_NO | {"not", "cannot", "can't", "cant", "don't", "dont"},
    greetings=frozenset(),
    fine=frozenset({"please", "thanks", "thank", "you", "thx", "great", "good", "fine"}),
    not_names=frozenset(
        [
            "yes",
            "yeah",
            "no",
            "nope",
            "not",
            "hi",
            "hello",
            "hey",
            "what",
            "when",
            "where",
            "why",
            "who",
            "how",
            "wait",
            "later",
            "change",
            "sorry",
            "wrong",
            "the",
            "a",
            "an",
            "is",
            "are",
            "can",
            "could",
            "i",
            "me",
            "my",
            "it",
            "this",
            "that",
            "time",
            "appointment",
        ]
    ),
    free="Free times:",
    none="No free time found. Text a day (mon, 12/24) or call us.",
    taken="Sorry, just taken. Free next:",
    day_full="Nothing free {day}. Next:",
    move="New time:",
    choose="Number, day (mon, 12/24), MORE?",
    held="Held {minutes} min for you: {full}{what}. Reply OK or your name to book it, or another number.",
    held_help="Held for you: {full}. Reply OK or your name to book it, another number to change, or MORE.",
    released="Not booked: {full}. The time is free again. Text MORE for other times.",
    booked="Booked: {full}{what}. Reference {reference}. Text LIST to see, move or drop it.",
    done="Already booked: {full}{what}. Reference {reference}. Text LIST to see, move or drop it.",
    moved="Moved to {full}{what}. Reference {reference}. Text LIST to see it.",
    dropped="Dropped: {full}. The time is free again. Text MORE for other times.",
    gone="That appointment is over or dropped already. Text LIST to see yours.",
    listed="Your appointments:",
    none_listed="No appointment was booked from this phone. Text MORE for free times.",
    list_tail="MOVE 1 moves, DROP 1 drops the first.",
    too_late="It is too late to change {full} by text. Please call us.",
    too_many="This phone may not book more just now. Please call us.",
    call="We cannot do this by text. Please call us.",
    retry="We could not reach the calendar just now. Please send the same text again in a minute.",
    settle="We do not know yet whether your time is booked. Please send your OK or name once more.",
    help=(
        "Text a number to choose, a day (mon, 12/24), MORE for free times, LIST for your appointments, "
        "MOVE 1 or DROP 1 to change one."
    ),
)
GERMAN = Phrases(
    code="de",
    months=(
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ),
    days=("montag", "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonntag"),
    shortest=2,
    short="{wd} {day}.{number}.{far} {time}",
    full="{weekday}, {day}. {month} {year} um {time} Uhr",
    day="{wd} {day}.{number}.",
    with_year="{year}",
    month_first=False,
    today="heute",
    tomorrow="morgen",
    commands={
        **_COMMANDS,
        "mehr": Kind.MORE,
        "liste": Kind.LIST,
        "hilfe": Kind.HELP,
        **_spelled(Kind.DROP, "absagen", "absage", "löschen", "lösche", "stornieren", "storniere", "storno"),
        **_spelled(Kind.DROP, "streichen", "streiche"),
        **_spelled(Kind.MOVE, "umbuchen", "umbuche", "verschieben", "verschiebe", "verlegen", "verlege"),
        **_spelled(Kind.MOVE, "ändern", "ändere"),
    },
    objects=_OBJECTS | {"termin", "meinen", "den", "buchung", "meine", "die"},
    no=_NO | {"nein", "nee", "nö", "noe", "doch nicht"},
    around_day=frozenset(
        [
            "am",
            "um",
            "ab",
            "an",
            "nächsten",
            "naechsten",
            "nächster",
            "kommenden",
            "diesen",
            "gegen",
            "nach",
            "den",
            "der",
            "on",
            "at",
        ]
    ),
    refusals=_NO | {"nein", "nicht", "kein", "keinen"},
    greetings=frozenset({"guten"}),
    fine=frozenset(
        {"bitte", "danke", "vielen", "dank", "gut", "gerne", "super", "please", "thanks", "thank", "you"}
    ),
    not_names=frozenset(
        [
            "ja",
            "nein",
            "nicht",
            "yes",
            "no",
            "hi",
            "hallo",
            "hey",
            "was",
            "wann",
            "wo",
            "warum",
            "wer",
            "wie",
            "warte",
            "warten",
            "später",
            "falsch",
            "der",
            "die",
            "das",
            "ein",
            "eine",
            "ist",
            "sind",
            "kann",
            "ich",
            "mir",
            "mein",
            "termin",
            "zeit",
            "uhr",
            "guten",
            "tag",
            "morgen",
        ]
    ),
    free="Freie Termine:",
    none="Kein freier Termin gefunden. Senden Sie einen Tag (mo, 24.12.) oder rufen Sie an.",
    taken="Leider gerade vergeben. Frei:",
    day_full="{day} ist nichts frei. Danach:",
    move="Neue Zeit:",
    choose="Nummer, Tag (mo, 24.12.), MEHR?",
    held=(
        "{minutes} Min. reserviert: {full}{what}. "
        "OK oder Ihr Name bucht den Termin, eine andere Nummer wechselt."
    ),
    held_help="Reserviert: {full}. OK oder Ihr Name bucht den Termin. Sonst andere Nummer oder MEHR.",
    released="Nicht gebucht: {full}. Die Zeit ist wieder frei. MEHR zeigt andere Termine.",
    booked="Gebucht: {full}{what}. Nr. {reference}. LISTE zeigt, verlegt oder streicht ihn.",
    done="Schon gebucht: {full}{what}. Nr. {reference}. LISTE zeigt, verlegt oder streicht ihn.",
    moved="Umgebucht auf {full}{what}. Nr. {reference}. LISTE zeigt Ihre Termine.",
    dropped="Abgesagt: {full}. Die Zeit ist wieder frei. MEHR zeigt andere Termine.",
    gone="Dieser Termin ist vorbei oder schon abgesagt. LISTE zeigt Ihre Termine.",
    listed="Ihre Termine:",
    none_listed="Von diesem Telefon ist kein Termin gebucht. MEHR zeigt freie Termine.",
    list_tail="UMBUCHEN 1 oder ABSAGE 1 für den ersten.",
    too_late="Für eine Änderung per SMS ist es zu spät: {full}. Bitte rufen Sie an.",
    too_many="Dieses Telefon kann gerade nicht mehr buchen. Bitte rufen Sie an.",
    call="Das geht nicht per SMS. Bitte rufen Sie an.",
    retry="Der Kalender antwortet gerade nicht. Bitte senden Sie dieselbe SMS in einer Minute noch einmal.",
    settle="Noch ist unklar, ob Ihr Termin gebucht ist. Bitte senden Sie OK oder Ihren Namen noch einmal.",
    help=(
        "Senden Sie eine Nummer, einen Tag (mo, 24.12.), MEHR für freie Termine, LISTE für Ihre Termine, "
        "UMBUCHEN 1 oder ABSAGE 1."
    ),
)
LANGUAGES = {each.code: each for each in (ENGLISH, GERMAN)}
