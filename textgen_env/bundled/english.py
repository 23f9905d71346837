"""English inflection: verbs, plurals, articles, comparison, numerals.  Everything is lower case."""

from __future__ import annotations

import re
from functools import lru_cache

from textgen_env.bundled.tables import rows, words

IRREGULAR = {
    verb: (past, participle)
    for verb, past, participle in rows("""
be was been|have had had|do did done|go went gone|become became become|begin began begun|beat beat beaten|flee fled fled
bite bit bitten|blow blew blown|break broke broken|bring brought brought|build built built|burn burned burned
buy bought bought|catch caught caught|choose chose chosen|come came come|cost cost cost|cut cut cut|deal dealt dealt
dig dug dug|draw drew drawn|drink drank drunk|drive drove driven|eat ate eaten|fall fell fallen|feed fed fed|feel felt felt
fight fought fought|find found found|fly flew flown|forbid forbade forbidden|forget forgot forgotten|forgive forgave forgiven
freeze froze frozen|get got got|give gave given|grow grew grown|hang hung hung|hear heard heard|hide hid hidden|hit hit hit
hold held held|hurt hurt hurt|keep kept kept|know knew known|lay laid laid|lead led led|leave left left|lend lent lent
let let let|lie lay lain|lose lost lost|make made made|mean meant meant|meet met met|oversleep overslept overslept
overtake overtook overtaken|pay paid paid|put put put|read read read|ride rode ridden|ring rang rung|rise rose risen
run ran run|say said said|see saw seen|sell sold sold|send sent sent|set set set|shake shook shaken|shine shone shone
shoot shot shot|shut shut shut|sing sang sung|show showed shown|sew sewed sewn|sink sank sunk|sit sat sat|sleep slept slept
speak spoke spoken|spend spent spent|stand stood stood|steal stole stolen|sweep swept swept|swim swam swum|take took taken
teach taught taught|tear tore torn|tell told told|think thought thought|throw threw thrown|understand understood understood
wake woke woken|wear wore worn|win won won|wind wound wound|write wrote written|withdraw withdrew withdrawn
""")
}
PRESENT = {"be": words("am are is are are are"), "have": words("have have has have have have")}
MODAL = {
    "can": "could",
    "will": "would",
    "must": "must",
    "may": "might",
    "should": "should",
    "would": "would",
    "could": "could",
}
STATIVE = set(
    words("""
be have know believe think like love hate want need belong contain cost deserve mean own understand prefer remember
doubt hope hear see seem resemble suspect trust matter lack fear admire envy realise agree forgive respect recognise
consist depend regret claim
""")
)
DOUBLED = set(
    words("""
stop plan drop rob grab chat jog nod beg hug rub slip trip wrap admit commit prefer refer forget forbid begin run get
sit set let put cut hit dig swim win shut stab scan knit spin shop chop mop pat tap clap wag control permit occur compel
propel travel cancel regret quarrel label bet overtax zip pin sip plug unplug hum
""")
)


@lru_cache(None)
def _add(verb: str, ending: str) -> str:
    if verb in DOUBLED:
        return verb + verb[-1] + ending
    if ending == "ed" and re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ied"
    if verb.endswith("ie") and ending == "ing":
        return verb[:-2] + "ying"
    if verb.endswith("e") and not (ending == "ing" and verb.endswith(("ee", "oe", "ye"))) and verb != "be":
        return verb[:-1] + ending
    return verb + ending


@lru_cache(None)
def form(verb: str, kind: str, person: int = 3, many: bool = False) -> str:
    """A form of one word; ``kind`` is base, to, present, past, part(iciple) or ing."""
    if kind in ("base", "to"):
        return ("to " if kind == "to" else "") + verb
    if kind == "ing":
        return _add(verb, "ing")
    if kind == "part":
        return IRREGULAR[verb][1] if verb in IRREGULAR else _add(verb, "ed")
    if verb in MODAL:
        return MODAL[verb] if kind == "past" else verb
    if kind == "past":
        if verb == "be":
            return "was" if person in (1, 3) and not many else "were"
        return IRREGULAR[verb][0] if verb in IRREGULAR else _add(verb, "ed")
    if verb in PRESENT:
        return PRESENT[verb][person - 1 + 3 * many]
    return sibilant(verb) if person == 3 and not many else verb


@lru_cache(None)
def sibilant(word: str) -> str:
    """The ending -s, of the third person and of the plural: ``box`` → ``boxes``, ``city`` → ``cities``."""
    if re.search(r"(s|x|z|ch|sh)$", word) or word in ("go", "do", "echo", "hero", "potato", "tomato"):
        return word + "es"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + "s"


IRREGULAR_PLURAL = dict(
    rows("""
man men|woman women|child children|foot feet|tooth teeth|goose geese|mouse mice|knife knives|wife wives|midwife midwives
life lives|leaf leaves|shelf shelves|wolf wolves|half halves|loaf loaves|thief thieves|scarf scarves|calf calves|person people
sheep sheep|fish fish|ox oxen|series series|species species|aircraft aircraft|deer deer|policeman policemen
policewoman policewomen|fireman firemen|fisherman fishermen|businessman businessmen|businesswoman businesswomen
craftsman craftsmen|housewife housewives|grandchild grandchildren|salesman salesmen|postman postmen|crisis crises
hypothesis hypotheses|snowman snowmen
""")
)


@lru_cache(None)
def plural(noun: str) -> str:
    """The plural of a noun phrase's last word, or of the noun before ``of`` or ``-in-law``: ``pieces of advice``."""
    head, of, rest = noun.partition(" of ")
    if not of:
        head, of, rest = noun.partition("-in-law")
    before, space, last = head.rpartition(" ")
    return before + space + IRREGULAR_PLURAL.get(last, sibilant(last)) + of + rest


@lru_cache(None)
def article(phrase: str) -> str:
    """``a`` or ``an`` before a phrase, by the sound it begins with."""
    if re.match(r"(uni[^n]|us[eu]|eu|one\b|once|ukul|utens)", phrase):
        return "a"
    return "an" if re.match(r"([aeiou]|hour|honest|heir|hono|8|11\b|18\b)", phrase) else "a"


@lru_cache(None)
def comparative(adjective: str) -> str:
    return compared(adjective, "er", "more")


@lru_cache(None)
def superlative(adjective: str) -> str:
    return compared(adjective, "est", "most")


COMPARED = {"good": ("better", "best"), "bad": ("worse", "worst"), "far": ("farther", "farthest")}
SHORT_WORDS = set(words("narrow clever quiet gentle simple little noble hollow"))
LONG_WORDS = set(words("ill real right wrong just tired bored pleased"))


def compared(adjective: str, ending: str, word: str) -> str:
    """``older`` or ``more expensive``: one syllable, or two that end in y, take the ending."""
    if adjective in COMPARED:
        return COMPARED[adjective][ending == "est"]
    syllables = len(re.findall(r"[aeiouy]+", adjective.removesuffix("e")))
    if " " in adjective or "-" in adjective or adjective in LONG_WORDS or (adjective.endswith("ed") and len(adjective) > 3):
        return f"{word} {adjective}"
    if not (syllables == 1 or (syllables == 2 and adjective.endswith("y")) or adjective in SHORT_WORDS):
        return f"{word} {adjective}"
    if adjective.endswith("e"):
        return adjective + ending[1:]
    if re.search(r"[^aeiou]y$", adjective) and adjective != "shy":
        return adjective[:-1] + "i" + ending
    if re.search(r"[^aeiou][aeiou][bdgmnpt]$", adjective):
        return adjective + adjective[-1] + ending
    return adjective + ending


UNITS = words("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen
""")
TENS = words("_ _ twenty thirty forty fifty sixty seventy eighty ninety")


@lru_cache(None)
def cardinal(number: int) -> str:
    """0 … 999,999: ``twenty-three``, ``two thousand one hundred and five``."""
    if number < 20:
        return UNITS[number]
    if number < 100:
        tens, unit = divmod(number, 10)
        return TENS[tens] + (f"-{UNITS[unit]}" if unit else "")
    size, word = (100, "hundred") if number < 1000 else (1000, "thousand")
    count, rest = divmod(number, size)
    joint = " and " if rest < 100 else " "
    return f"{cardinal(count)} {word}" + (joint + cardinal(rest) if rest else "")


def ordinal(number: int) -> str:
    """``third``, ``twenty-first``."""
    special = {
        1: "first",
        2: "second",
        3: "third",
        5: "fifth",
        8: "eighth",
        9: "ninth",
        12: "twelfth",
        20: "twentieth",
        30: "thirtieth",
    }
    if number in special:
        return special[number]
    if number > 20:
        return f"{TENS[number // 10]}-{ordinal(number % 10)}"
    return cardinal(number) + "th"
