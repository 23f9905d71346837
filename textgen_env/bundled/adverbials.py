"""When, where, how and whether: adverbs, dates, clock times, places and directions, as (German, English, place in English)."""

from __future__ import annotations

from textgen_env.bundled import english as en
from textgen_env.bundled import german as de
from textgen_env.bundled import lexicon
from textgen_env.bundled.nominals import phrase
from textgen_env.bundled.phrases import Pen
from textgen_env.bundled.records import Adverb

UNITS = [("jahr", "jahre", "jahren", "year"), ("tag", "tage", "tagen", "day"), ("woche", "wochen", "wochen", "week"),
         ("monat", "monate", "monaten", "month"), ("stunde", "stunden", "stunden", "hour")]  # fmt: skip
PARTS_OF_DAY = [("abend", "evening"), ("morgen", "morning"), ("nachmittag", "afternoon")]


def span(pen: Pen, units: int = 5) -> tuple[str, str, int, int]:
    """``(drei jahren, three years, 3, unit)``: a length of time, the German in the dative."""
    unit = int(pen.rng.random() * units)
    singular, _, plural, english = UNITS[unit]
    count = 1 + min(int(pen.rng.expovariate(0.3)), 40)
    if count == 1:
        return ("einem " if unit in (0, 1, 3) else "einer ") + singular, f"{en.article(english)} {english}", 1, unit
    return f"{de.cardinal(count)} {plural}", f"{en.cardinal(count)} {english}s", count, unit


def year(pen: Pen, future: bool = False) -> int:
    return 2027 + int(pen.rng.expovariate(0.1)) if future else 2024 - int(pen.rng.expovariate(0.025))


def clock(pen: Pen) -> tuple[str, str]:
    """``halb acht`` is half past seven."""
    hour, draw = pen.rng.randrange(1, 13), pen.rng.random()
    after = hour % 12 + 1
    if draw < 0.4:
        return f"{de.cardinal(hour, False)} uhr", pen.pick((f"{en.cardinal(hour)} o'clock", en.cardinal(hour)))
    if draw < 0.6:
        return f"halb {de.cardinal(after)}", f"half past {en.cardinal(hour)}"
    if draw < 0.7:
        return f"viertel nach {de.cardinal(hour)}", f"a quarter past {en.cardinal(hour)}"
    if draw < 0.8:
        return f"viertel vor {de.cardinal(after)}", f"a quarter to {en.cardinal(after)}"
    hour, minute = pen.rng.randrange(6, 24), 5 * pen.rng.randrange(1, 12)
    return f"{hour}.{minute:02d} uhr", f"{hour}.{minute:02d}"


def date(pen: Pen) -> tuple[str, str]:
    """A day of the week or of a month, each with its preposition."""
    if pen.chance(0.6):
        day, translation = pen.pick(lexicon.WEEKDAYS)
        if pen.chance(0.25):
            part, english = pen.pick(PARTS_OF_DAY)
            return f"am {day}{part}", f"on {translation} {english}"
        return f"am {day}", f"on {translation}"
    number, (month, translation) = pen.rng.randrange(1, 29), pen.pick(lexicon.MONTHS)
    if pen.chance(0.5):
        return f"am {number}. {month}", pen.pick((f"on {translation} {number}", f"on {number} {translation}"))
    return f"am {de.adjective(de.ordinal(number), 'weak', 'm', 'dat')} {month}", f"on the {en.ordinal(number)} of {translation}"


def time(pen: Pen, tense: str) -> Adverb | None:
    """An adverbial that says the tense, or fits it."""
    draw = pen.rng.random()
    if tense == "since":
        return since(pen)
    if tense in ("past", "soon") and draw < 0.5:
        if draw < 0.1:
            word, translation, *_ = span(pen)
            if tense == "past":
                return Adverb(f"vor {word}", (f"{translation} ago",), "end")
            return Adverb(f"in {word}", (f"in {translation}",), "end")
        if draw < 0.18:
            number = year(pen, tense == "soon")
            return Adverb(pen.pick((f"im jahr {number}", str(number))), (f"in {number}",), "end")
        if draw < 0.4:
            word, translation = date(pen)
            return Adverb(word, (translation,), "end")
        word, translation = clock(pen)
        return Adverb(f"um {word}", (f"at {translation}",), "end")
    return lexicon.TIMES[tense].draw(pen.rng) if tense in lexicon.TIMES else None


def since(pen: Pen) -> Adverb:
    draw = pen.rng.random()
    if draw < 0.6:
        word, translation, *_ = span(pen)
        return Adverb(f"{pen.pick(('schon ', '', ''))}seit {word}", (f"for {translation}",), "end")
    if draw < 0.8:
        number = year(pen)
        return Adverb(f"seit {number}", (f"since {number}",), "end")
    word, translation = pen.pick(
        (("gestern", "yesterday"), ("letzter woche", "last week"), ("montag", "monday"), ("dem unfall", "the accident"))
    )
    return Adverb(f"seit {word}", (f"since {translation}",), "end")


SITES, INDOORS = (
    lexicon.pool("building place room town country building place room"),
    lexicon.pool("room room furniture building"),
)


def place(pen: Pen, outside: bool = True) -> tuple[str, str]:
    """Where: ``im alten haus``, ``am see``, ``in berlin``; things are indoors."""
    noun = (SITES if outside else INDOORS).draw(pen.rng)
    spot = phrase(pen, noun, plain=pen.chance(0.8), many=False)
    word, translation = noun.preposition
    return de.preposition(word, spot.german("dat")), f"{translation} {spot.english('acc')}"


GOALS, NEAR = lexicon.pool("building place town country"), lexicon.pool("building place room")


def direction(pen: Pen, near: bool) -> tuple[str, str]:
    """Whither: ``in die stadt``, ``zum bahnhof``, ``nach berlin``, ``nach hause``; ``near`` excludes towns and countries."""
    if pen.chance(0.12):
        return "nach hause", "home"
    noun = (NEAR if near else GOALS).draw(pen.rng)
    spot = phrase(pen, noun, plain=True, many=False)
    if noun.proper:
        return f"nach {spot.german('dat')}", f"to {spot.english('acc')}"
    word, _ = noun.preposition
    if word != "in" or (noun.kind == "building" and pen.chance(0.3)):
        return (de.preposition("zu", spot.german("dat")), f"to {spot.english('acc')}")
    return de.preposition(word, spot.german("acc")), f"{'into' if noun.kind == 'room' else 'to'} {spot.english('acc')}"
