"""Main clauses, alone or joined to others: reasons, conditions, coordination, purpose, comparison."""

from __future__ import annotations

from collections.abc import Callable

from textgen_env.bundled import english as en
from textgen_env.bundled import lexicon
from textgen_env.bundled.assembly import MAN, assemble
from textgen_env.bundled.choices import TENSES, choose_frame
from textgen_env.bundled.clauses import COMPLEMENT, PREDICATE, Clause, Part
from textgen_env.bundled.descriptions import BE, BECOME, PERSONAL, PERSONS, SUBJECTS, plain
from textgen_env.bundled.events import AFTER_PAST, ES, add_relative, event, infinitive
from textgen_env.bundled.nominals import someone_or_something
from textgen_env.bundled.phrases import Pen, Phrase, mention
from textgen_env.bundled.predicates import Plan
from textgen_env.bundled.records import Frame
from textgen_env.bundled.tables import entries, join, rows, synonyms, words

Pair = tuple[str, str]


def statement(pen: Pen) -> Pair:
    """A main clause; while the budget lasts, with others around it."""
    if pen.embed(0.75):
        return pen.pick(JOINED)(pen)
    clause = plain(pen)
    return clause.main(), clause.statement()


# conjunction = English : tense of its clause, tense of the main clause
CONJUNCTIONS = [
    (conjunction, synonyms(translation), inner, outer.replace("_", " "))
    for _, conjunction, right in entries("""
weil = because : past past | weil = because / since / as : habit habit | weil = because : done soon
da = since / as : past past | obwohl = although / even though / though : past past
obwohl = although / even though : habit habit
als = when : past past | während = while : past past | bevor = before : past past | ehe = before : past past
nachdem = after : before past | bis = until : past past | solange = as long as : habit habit
sobald = as soon as : habit soon | wenn = if / when : habit soon | falls = if : habit soon
sodass = so that : past past | wenn = if : unreal would | wenn = if : wish would_have
""")
    for translation, _, tenses in [right.partition(" : ")]
    for inner, outer in [tenses.split()]
]
ONLY_AFTER = set(words("sodass bis"))
TEMPORAL = set(words("als bis sobald während nachdem bevor ehe"))  # the clause itself says when
TERSE = TEMPORAL | set(words("sodass wenn falls"))


def adverbial_clause(pen: Pen) -> Pair:
    """``weil …`` and the like, before or after the main clause."""
    conjunction, translations, tense, outer = pen.pick(CONJUNCTIONS)
    first = pen.chance(0.45) and conjunction not in ONLY_AFTER
    who = add_relative(pen, someone_or_something(pen, PERSONS, subject=True), 0.2) if pen.chance(0.6) else None
    again = mention(who) if who is not None else None
    main = event(
        pen,
        subject=again if first else who,
        tense=outer,
        main=not first and not outer.startswith("would"),
        terse=conjunction in TEMPORAL,
    )
    clause = plain(pen, subject=who if first else again, tense=tense, main=False, terse=conjunction in TERSE)
    translation = pen.synonym(translations)
    if first:
        return main.main(f"{clause.subordinate(conjunction)} ,"), f"{translation} {clause.statement()} , {main.statement()}"
    return f"{main.main()} , {clause.subordinate(conjunction)} ,", f"{main.statement()} {translation} {clause.statement()}"


COORDINATIONS = rows("und and|und and|aber but|aber but|denn because|doch but")


def coordinated(pen: Pen) -> Pair:
    """Two main clauses; the second may be about the first one's subject, now a pronoun of its grammatical gender."""
    german, english = pen.pick(COORDINATIONS)
    if pen.chance(0.35):
        one, two = statement(pen), statement(pen)
    else:
        subject = add_relative(pen, someone_or_something(pen, SUBJECTS, pronouns=False), 0.3)
        tense = pen.pick(("past", "habit"))
        clauses = plain(pen, subject, tense), plain(pen, mention(subject), tense)
        one, two = ((clause.main(), clause.statement()) for clause in clauses)
    return f"{one[0]} , {german} {two[0]}", f"{one[1]} , {english} {two[1]}"


def shared_subject(pen: Pen) -> Pair:
    """``er stand auf und öffnete das fenster``."""
    subject = add_relative(pen, someone_or_something(pen, PERSONS, subject=True), 0.3)
    again = mention(subject) if subject.noun else subject
    plan = Plan(pen.pick(("past", "past", "habit", "soon")), future=True)
    first = event(pen, subject=subject, plan=plan, frame=doing(pen, subject), main=True)
    count = 2 if pen.chance(0.25) else 1
    others = [event(pen, subject=again, plan=plan, frame=doing(pen, subject), terse=True) for _ in range(count)]
    german = [first.main(), *(clause.german_predicate(first) for clause in others)]
    english = [first.statement(), *(clause.english_predicate(first) for clause in others)]
    return f"{' , '.join(german[:-1])} und {german[-1]}", f"{' , '.join(english[:-1])} and {english[-1]}"


def doing(pen: Pen, subject: Phrase) -> Frame:
    """Something that a person does."""
    return choose_frame(pen, subject, None, bare=True)


PURPOSES = [
    (german, english, form)
    for german, *english_words, form in rows("um in order to|um to|um to|ohne without ing|statt instead of ing")
    for english in [" ".join(english_words)]
]


def purpose(pen: Pen) -> Pair:
    """``um … zu``, ``ohne … zu``, ``statt … zu``."""
    subject = someone_or_something(pen, PERSONS, subject=True)
    german, english, form = pen.pick(PURPOSES)
    plan = Plan(pen.pick(("past", "past", "habit", "soon")), future=True)
    first = pen.chance(0.2)
    main = event(pen, subject=subject, frame=doing(pen, subject), plan=plan, main=german == "um" and not first)
    inner = infinitive(pen, subject, form)
    german, english = f"{german} {inner[0].removeprefix(', ')}", join(english, inner[1])
    if first:
        return main.main(german), f"{english} , {main.statement()}"
    return f"{main.main()} , {german}", f"{main.statement()} {english}"


ADVISABLE = [(left, synonyms(right)) for _, left, right in entries("""
wichtig = important | schwer = difficult / hard | möglich = possible | leicht = easy | nötig = necessary | verboten = forbidden
unmöglich = impossible | gefährlich = dangerous | sinnlos = pointless
""")]  # fmt: skip
FACTUAL = [(left, synonyms(right)) for _, left, right in entries("""
klar = clear | wahr = true | schade = a pity | möglich = possible | merkwürdig = strange / odd | bekannt = well known
unwahrscheinlich = unlikely | bedauerlich = regrettable
""")]  # fmt: skip


def impersonal(pen: Pen) -> Pair:
    """``es ist schwer , … zu …``, ``es ist klar , dass …``."""
    tense = pen.pick(("habit", "habit", "past"))
    if pen.chance(0.5):
        word, translations = pen.pick(ADVISABLE)
        tail = infinitive(pen, MAN)
    else:
        word, translations = pen.pick(FACTUAL)
        inner = plain(pen, tense=pen.pick(AFTER_PAST if tense == "past" else TENSES), main=False)
        tail = f", {inner.subordinate('dass')} ,", f"that {inner.statement()}"
    part = Part(word, pen.synonym(translations), PREDICATE, COMPLEMENT)
    clause = assemble(pen, BE, Plan(tense), ES, {}, parts=[part], tail=tail)
    return clause.main(), clause.statement()


MORE = [(left, right) for _, left, right in entries("""
länger = longer | mehr = more | öfter = more often | schneller = faster | später = later
""")]  # fmt: skip
ENDURED = [f for f in lexicon.FRAMES if f.lasting and not f.arguments and not f.predicate and f.subject and f.subject.people]
COMPARED = [adjective for adjective in PERSONAL.items if adjective.degrees]


def the_more(pen: Pen) -> Pair:
    """``je länger er wartet , desto müder wird er``."""
    who = someone_or_something(pen, PERSONS)
    adverb, translation = pen.pick(MORE)
    inner = event(pen, subject=who, frame=pen.pick(ENDURED), plan=Plan("habit"), terse=True)
    outer: Clause = assemble(pen, BECOME, Plan("habit"), mention(who) if who.noun else who, {})
    adjective = pen.pick(COMPARED)
    assert adjective.degrees is not None
    german = f"je {adverb} {inner.subordinate()} , {outer.main(f'desto {adjective.degrees[0]}')}"
    return german, f"the {translation} {inner.statement()} , the {en.comparative(adjective.english[0])} {outer.statement()}"


JOINED: list[Callable[[Pen], Pair]] = [
    *[adverbial_clause] * 7, *[coordinated] * 4, *[shared_subject] * 3, *[purpose] * 2, *[impersonal] * 2, the_more,
]  # fmt: skip
