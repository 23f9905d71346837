"""German verbs.  A verb is written with its prefix marked: ``auf|geben`` separates, ``ver·geben`` does not.

Strong and irregular verbs stand in ``STRONG`` with the third person present, the first person preterite and the participle
without ``ge-``; all others are weak.
"""

from __future__ import annotations

import re
from functools import lru_cache

from textgen_env.bundled.tables import rows, words

STRONG = {
    verb: (present, past, participle)
    for verb, present, past, participle in rows("""
backen bäckt backte backen|beginnen beginnt begann begonnen|beißen beißt biss bissen|bieten bietet bot boten
bergen birgt barg borgen|binden bindet band bunden|bitten bittet bat beten|bleiben bleibt blieb blieben
braten brät briet braten|brechen bricht brach brochen|brennen brennt brannte brannt|bringen bringt brachte bracht
denken denkt dachte dacht|empfehlen empfiehlt empfahl empfohlen|essen isst aß gessen|fahren fährt fuhr fahren
fallen fällt fiel fallen|fangen fängt fing fangen|finden findet fand funden|fliegen fliegt flog flogen
fliehen flieht floh flohen|fließen fließt floss flossen|fressen frisst fraß fressen|frieren friert fror froren
geben gibt gab geben|gehen geht ging gangen|gelingen gelingt gelang gelungen|genießen genießt genoss genossen
gewinnen gewinnt gewann gewonnen|gießen gießt goss gossen|graben gräbt grub graben|greifen greift griff griffen
halten hält hielt halten|hängen hängt hing hangen|heben hebt hob hoben|helfen hilft half holfen|kennen kennt kannte kannt
klingen klingt klang klungen|kommen kommt kam kommen|kriechen kriecht kroch krochen|laden lädt lud laden
lassen lässt ließ lassen|laufen läuft lief laufen|leiden leidet litt litten|leihen leiht lieh liehen|lesen liest las lesen
liegen liegt lag legen|lügen lügt log logen|meiden meidet mied mieden|melken melkt melkte molken|messen misst maß messen
nehmen nimmt nahm nommen|nennen nennt nannte nannt|pfeifen pfeift pfiff pfiffen|raten rät riet raten|reißen reißt riss rissen
reiten reitet ritt ritten|rennen rennt rannte rannt|riechen riecht roch rochen|rufen ruft rief rufen
scheiden scheidet schied schieden|scheinen scheint schien schienen|schieben schiebt schob schoben
schießen schießt schoss schossen|schlafen schläft schlief schlafen|schlagen schlägt schlug schlagen
schließen schließt schloss schlossen|schneiden schneidet schnitt schnitten|schreiben schreibt schrieb schrieben
schreien schreit schrie schrien|schweigen schweigt schwieg schwiegen|schwimmen schwimmt schwamm schwommen
schwinden schwindet schwand schwunden|sehen sieht sah sehen|singen singt sang sungen|sinken sinkt sank sunken
sitzen sitzt saß sessen|sprechen spricht sprach sprochen|springen springt sprang sprungen|stehen steht stand standen
stehlen stiehlt stahl stohlen|steigen steigt stieg stiegen|sterben stirbt starb storben|stoßen stößt stieß stoßen
streichen streicht strich strichen|streiten streitet stritt stritten|tragen trägt trug tragen|treffen trifft traf troffen
treiben treibt trieb trieben|treten tritt trat treten|trinken trinkt trank trunken|trügen trügt trog trogen|tun tut tat tan
vergessen vergisst vergaß vergessen|verlieren verliert verlor verloren|wachsen wächst wuchs wachsen
waschen wäscht wusch waschen|weisen weist wies wiesen|werben wirbt warb worben|werfen wirft warf worfen|wiegen wiegt wog wogen
winden windet wand wunden|zeihen zeiht zieh ziehen|ziehen zieht zog zogen|zwingen zwingt zwang zwungen
gleichen gleicht glich glichen|ringen ringt rang rungen|haben hat hatte habt|sein ist war wesen|werden wird wurde worden
wissen weiß wusste wusst|können kann konnte konnt|müssen muss musste musst|dürfen darf durfte durft|sollen soll sollte sollt
wollen will wollte wollt|mögen mag mochte mocht|möchten möchte wollte wollt
""")
}
PREFIXED = set(words("beginnen empfehlen gelingen genießen gewinnen vergessen verlieren"))  # no ge- in the participle
PRETERITE_PRESENT = set(words("können müssen dürfen sollen wollen mögen möchten wissen"))
PRESENT = {  # ich, du, er, wir, ihr, sie
    verb: forms
    for verb, *forms in rows("""
sein bin bist ist sind seid sind
haben habe hast hat haben habt haben
werden werde wirst wird werden werdet werden
tun tue tust tut tun tut tun
möchten möchte möchtest möchte möchten möchtet möchten
""")
}
SUBJUNCTIVE = dict(
    rows("""
haben hätte|sein wäre|werden würde|können könnte|müssen müsste|dürfen dürfte|sollen sollte|wollen wollte|wissen wüsste
""")
)
REPORTED = dict(rows("sein sei|haben habe|werden werde|können könne|müssen müsse|wollen wolle|sollen solle|dürfen dürfe"))


@lru_cache(None)
def parts(verb: str) -> tuple[str, str, str]:
    """``(separable prefix, inseparable prefix, base)`` of a marked verb."""
    separable, _, rest = verb.rpartition("|")
    fixed, _, base = rest.rpartition("·")
    return separable, fixed, base


@lru_cache(None)
def principal(verb: str) -> tuple[str, str, str] | None:
    """Third person present, first person preterite and participle of a strong verb, without its separable prefix."""
    _, fixed, base = parts(verb)
    if base not in STRONG:
        return None
    present, past, participle = STRONG[base]
    return fixed + present, fixed + past, fixed + participle if fixed or base in PREFIXED else "ge" + participle


def needs_e(stem: str) -> bool:
    """Whether an e keeps the ending apart: arbeit-e-t, öffn-e-t, but not lern-t, nor a stem whose vowel changed (hält)."""
    return re.search(r"([td]|[^aeiouäöülrhmn][mn]|ch[mn])$", stem) is not None


def stem_of(base: str) -> str:
    return base[:-1] if base.endswith(("eln", "ern", "tun", "sein")) else base[:-2]


@lru_cache(None)
def finite(verb: str, tense: str, person: int, many: bool) -> str:
    """A finite form without the separable prefix; ``tense`` is present, past, subjunctive (II) or reported (subjunctive I)."""
    _, fixed, base = parts(verb)
    index, strong = person - 1 + 3 * many, principal(verb)
    if tense == "present":
        return (
            fixed + PRESENT[base][index]
            if base in PRESENT
            else fixed + _present(base, index, (strong or ("",))[0].removeprefix(fixed))
        )
    if tense == "reported":
        if many or person != 3:  # the forms that do not differ from the indicative give way to subjunctive II
            return finite(verb, "subjunctive", person, many)
        return REPORTED[base]
    root = fixed + SUBJUNCTIVE[base] if tense == "subjunctive" else strong[1] if strong else fixed + _weak_past(base)
    if root.endswith("e"):
        return root + ("", "st", "", "n", "t", "n")[index]
    glide = "e" if (index in (1, 4) and root[-1] in "td") or (index == 1 and root[-1] in "sßz") else ""
    return root + glide + ("", "st", "", "en", "t", "en")[index]


def _present(base: str, index: int, third: str) -> str:
    stem = stem_of(base)
    if index in (3, 5):
        return base
    if base in PRETERITE_PRESENT and index < 3:
        return third if index != 1 else third + ("t" if third[-1] in "sß" else "st")
    glide = "e" if needs_e(stem) else ""
    if index == 0:
        return stem[:-2] + "le" if base.endswith("eln") else stem + "e"
    if index == 2:
        return third or stem + glide + "t"
    if index == 4:
        return stem + glide + "t"
    root = changed_stem(base, third) or stem + glide
    return root + ("t" if root[-1] in "sßzx" else "st")


def changed_stem(base: str, third: str) -> str:
    """The stem of the second and third person when its vowel changes, else ``""``: geben, gibt → gib; halten, hält → hält."""
    stem = stem_of(base)
    if third in ("", stem + "t", stem + "et"):
        return ""
    return third if stem.endswith("t") else third[:-1]


def _weak_past(base: str) -> str:
    stem = stem_of(base)
    return stem + ("ete" if needs_e(stem) else "te")


@lru_cache(None)
def infinitive(verb: str, zu: bool = False) -> str:
    """``aufgeben``, or with ``zu``: ``aufzugeben``, ``zu vergeben``."""
    separable, fixed, base = parts(verb)
    if base == "möchten":
        base = "wollen"
    if not zu:
        return separable + fixed + base
    return f"{separable}zu{fixed}{base}" if separable else f"zu {fixed}{base}"


@lru_cache(None)
def participle(verb: str) -> str:
    """The past participle: ``aufgegeben``, ``vergeben``, ``repariert``, ``gearbeitet``."""
    separable, fixed, base = parts(verb)
    strong = principal(verb)
    if strong:
        return separable + strong[2]
    stem = stem_of(base)
    ge = "" if fixed or base.endswith("ieren") else "ge"
    return separable + fixed + ge + stem + ("et" if needs_e(stem) else "t")


@lru_cache(None)
def imperative(verb: str, addressee: str) -> str:
    """The imperative without its separable prefix; ``addressee`` is du, ihr or sie."""
    _, fixed, base = parts(verb)
    if addressee == "ihr":
        return finite(verb, "present", 2, True)
    if addressee == "sie":
        return fixed + base + " sie"
    if base in ("haben", "sein", "werden"):
        return {"haben": "hab", "sein": "sei", "werden": "werde"}[base]
    stem = stem_of(base)
    changed = changed_stem(base, (principal(verb) or ("",))[0].removeprefix(fixed))
    if "i" in changed:  # gib, nimm, lies; but fahr, lauf
        return fixed + changed
    if base.endswith("eln"):
        return fixed + stem[:-2] + "le"
    return fixed + stem + ("e" if needs_e(stem) or base.endswith("ern") else "")
