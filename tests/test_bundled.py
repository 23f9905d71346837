"""The bundled corpus: its promises, and German grammar as identities over whatever is written."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from random import Random

import pytest

from textgen_env.bundled import LONGEST, conjugation, english, generate, german, lexicon, statements
from textgen_env.bundled.choices import PLAIN
from textgen_env.bundled.events import event, relative_clause
from textgen_env.bundled.nominals import phrase
from textgen_env.bundled.phrases import Pen, personal
from textgen_env.bundled.predicates import Plan
from textgen_env.bundled.sentences import tidy

Splits = dict[str, list[tuple[str, str]]]
SEPARABLE = [frame for frame in PLAIN.items if "|" in frame.verb]


@pytest.fixture(scope="module")
def corpus() -> Splits:
    return generate(seed=3, train=30_000, valid=500, test=500)


@pytest.fixture(scope="module")
def texts(corpus: Splits) -> list[tuple[str, str]]:
    return [pair for split in corpus.values() for pair in split]


def test_sizes_and_splits_share_no_source(corpus: Splits, texts: list[tuple[str, str]]) -> None:
    assert {name: len(pairs) for name, pairs in corpus.items()} == {"train": 30_000, "valid": 500, "test": 500}
    assert len({source for source, _ in texts}) == len(texts)


def test_deterministic_in_the_seed() -> None:
    assert generate(5, 300, 20, 20) == generate(5, 300, 20, 20)
    assert generate(5, 300, 20, 20)["train"] != generate(6, 300, 20, 20)["train"]


def test_held_out_pairs_do_not_depend_on_the_training_size() -> None:
    small, large = generate(1, 100, 20, 30), generate(1, 400, 20, 30)
    assert (small["test"], small["valid"]) == (large["test"], large["valid"])
    assert small["train"] == large["train"][:100]


def test_lengths(texts: list[tuple[str, str]]) -> None:
    for side in (0, 1):
        lengths = [len(pair[side].split()) for pair in texts]
        assert min(lengths) <= 4
        assert 45 <= max(lengths) <= LONGEST
        assert 12 <= sum(lengths) / len(lengths) <= 19
        assert sum(length > 30 for length in lengths) > 0.02 * len(lengths)


def test_the_vocabulary_is_large_and_has_a_rare_tail(texts: list[tuple[str, str]]) -> None:
    for side, least in ((0, 6_000), (1, 3_300)):
        counts = Counter(word for pair in texts for word in pair[side].split())
        assert len(counts) > least
        assert sum(count <= 3 for count in counts.values()) > 0.1 * len(counts)


def test_text_is_clean(texts: list[tuple[str, str]]) -> None:
    for pair in texts:
        for text in pair:
            words = text.split()
            assert text == " ".join(words) == text.lower() == tidy(text)
            assert words[-1] in (".", "?", "!", '"')
            assert not set("|·_~*<>=") & set(text)
            assert words.count('"') % 2 == 0
            assert not any(one == two == "," for one, two in pairwise(words))


def test_both_sides_agree_on_what_is_said(texts: list[tuple[str, str]]) -> None:
    """Names, question marks and quotation marks are the same on both sides."""
    names = {noun.german for noun in lexicon.NOUNS["name"].items} - {"mia"}
    for source, target in texts:
        assert source.count("?") == target.count("?")
        assert source.count('"') == target.count('"')
        said = {word for word in source.split() if word in names}
        assert said <= set(target.split())


def test_articles_and_contractions(texts: list[tuple[str, str]]) -> None:
    for source, target in texts:
        pairs = list(pairwise(target.split()))
        assert all(english.article(word) == article for article, word in pairs if article in ("a", "an"))
        assert not {("in", "dem"), ("zu", "der"), ("von", "dem")} & {
            (one, two)
            for one, two, after in zip(source.split(), source.split()[1:], source.split()[2:], strict=False)
            if after in NOUNS
        }


NOUNS = {noun.german for ranked in lexicon.NOUNS.values() for noun in ranked.items if noun.gender in "mn" and not noun.proper}


def test_one_source_may_have_several_translations() -> None:
    pen, found = Pen(Random(0)), defaultdict(set)
    bare = [frame for frame in PLAIN.items if not frame.arguments]
    for _ in range(3_000):
        clause = event(pen, frame=pen.pick(bare), subject=personal("f", "she"), terse=True)
        found[clause.main()].add(clause.statement())
    several = [translations for translations in found.values() if len(translations) > 1]
    assert len(several) > 10
    assert {"she came back", "she returned"} in several


def clauses(frames: list, count: int, **options: object):  # type: ignore[no-untyped-def]
    """Clauses without others inside."""
    pen = Pen(Random(1))
    for _ in range(count):
        yield event(pen, frame=pen.pick(frames), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("tense", ["past", "habit", "soon", "done", "since", "before", "would", "would have", "unreal"])
def test_verb_second_and_verb_last_say_the_same_words(tense: str) -> None:
    """A main clause and its subordinate one differ in order only, but for the prefix that comes back to its verb."""
    for clause in clauses(PLAIN.items, 300, tense=tense, main=True):
        finite, particle = clause.german_verbs.finite, clause.german_verbs.particle
        main, last = clause.main().split(), clause.subordinate("dass").split()
        if particle and not clause.german_verbs.rest:
            assert particle in main
            assert last[-1] == particle + finite
            main.remove(particle)
            main[main.index(finite)] = particle + finite
        assert sorted([*main, "dass"]) == sorted(last)
        assert " ".join(last).endswith(clause.german_verbs.last)


def test_one_constituent_stands_before_the_finite_verb() -> None:
    for clause in clauses(PLAIN.items, 1_500, main=True):
        fronted = [part.german for part in clause.parts if part.fronted]
        assert len(fronted) <= 1
        first = fronted[0] if fronted else clause.german_subject
        assert clause.main().startswith(f"{first} {clause.german_verbs.finite}")
        assert clause.question().startswith(f"{clause.german_verbs.finite} {clause.german_subject}")


@pytest.mark.parametrize(("tense", "perfect"), [("past", False), ("past", True), ("habit", False)])
def test_separable_verbs(tense: str, perfect: bool) -> None:
    """The prefix closes a main clause, joins the finite verb in a subordinate one, and takes in ge- and zu."""
    for frame in SEPARABLE:
        clause = event(Pen(Random(2)), frame=frame, plan=Plan(tense, perfect=perfect), terse=True, main=False)
        prefix = conjugation.parts(frame.verb)[0]
        main, last = clause.main().split()[-1], clause.subordinate("dass").split()[-1]
        if perfect:
            assert main == conjugation.participle(frame.verb)
            assert main.startswith(prefix)
            assert last in conjugation.PRESENT["haben"] + conjugation.PRESENT["sein"]
        else:
            assert main == prefix
            assert last.startswith(prefix)
            assert last.removeprefix(prefix) in clause.main().split()
        infinitive = conjugation.infinitive(frame.verb, zu=True)
        assert infinitive == prefix + "zu" + conjugation.infinitive(frame.verb).removeprefix(prefix)
        assert perfect or clause.german_zu().split()[-1] == infinitive


def test_relative_clauses_agree_with_their_noun_and_end_in_the_finite_verb() -> None:
    pen, seen = Pen(Random(7)), set()
    for _ in range(1_500):
        noun = pen.pick(lexicon.NOUNS[pen.pick(("person", "doc", "building", "vehicle", "animal"))].items)
        head = phrase(pen, noun)
        clause = relative_clause(pen, head, noun)
        if clause is None:
            continue
        said = clause.subordinate()
        assert said.endswith(clause.german_verbs.last)
        forms = {german.RELATIVE[head.key, case] for case in german.CASES}
        assert forms & set(said.split()[:2]), said  # the pronoun, perhaps after its preposition
        seen |= forms & set(said.split()[:2])
    assert seen == set(german.RELATIVE.values())


@pytest.mark.parametrize(
    ("article", "kind", "gender", "forms"),
    [
        (lambda g, c: german.DEFINITE[g, c], "weak", "m", "der alte|den alten|dem alten|des alten"),
        (lambda g, c: german.DEFINITE[g, c], "weak", "f", "die alte|die alte|der alten|der alten"),
        (lambda g, c: german.der_word("dies", g, c), "weak", "n", "dieses alte|dieses alte|diesem alten|dieses alten"),
        (lambda g, c: german.der_word("all", g, c), "weak", "p", "alle alten|alle alten|allen alten|aller alten"),
        (lambda g, c: german.ein_word("ein", g, c), "mixed", "m", "ein alter|einen alten|einem alten|eines alten"),
        (lambda g, c: german.ein_word("euer", g, c), "mixed", "f", "eure alte|eure alte|eurer alten|eurer alten"),
        (lambda g, c: german.ein_word("kein", g, c), "mixed", "n", "kein altes|kein altes|keinem alten|keines alten"),
        (lambda g, c: "drei", "strong", "p", "drei alte|drei alte|drei alten|drei alter"),
        (lambda g, c: "", "strong", "m", " alter| alten| altem| alten"),
    ],
)
def test_adjective_paradigms(article, kind: str, gender: str, forms: str) -> None:  # type: ignore[no-untyped-def]
    found = [f"{article(gender, case)} {german.adjective('alt', kind, gender, case)}" for case in german.CASES]
    assert "|".join(found) == forms


def test_adjectives_that_change_their_stem() -> None:
    assert [german.attributive(word) for word in ("hoch", "teuer", "dunkel", "müde", "sauer")] == [
        "hoh",
        "teur",
        "dunkl",
        "müd",
        "saur",
    ]
    assert [german.superlative(word) for word in ("breit", "klein", "spannend", "neu")] == [
        "breitest",
        "kleinst",
        "spannendst",
        "neuest",
    ]


@pytest.mark.parametrize(
    ("verb", "present", "past", "others"),
    [
        (
            "auf|geben",
            "gebe gibst gibt geben gebt geben",
            "gab gabst gab gaben gabt gaben",
            "aufgegeben aufzugeben gib",
        ),
        (
            "ver·lassen",
            "verlasse verlässt verlässt verlassen verlasst verlassen",
            "verließ verließest verließ verließen verließt verließen",
            "verlassen zu-verlassen verlass",
        ),
        (
            "arbeiten",
            "arbeite arbeitest arbeitet arbeiten arbeitet arbeiten",
            "arbeitete arbeitetest arbeitete arbeiteten arbeitetet arbeiteten",
            "gearbeitet zu-arbeiten arbeite",
        ),
        (
            "sammeln",
            "sammle sammelst sammelt sammeln sammelt sammeln",
            "sammelte sammeltest sammelte sammelten sammeltet sammelten",
            "gesammelt zu-sammeln sammle",
        ),
        (
            "an|probieren",
            "probiere probierst probiert probieren probiert probieren",
            "probierte probiertest probierte probierten probiertet probierten",
            "anprobiert anzuprobieren probier",
        ),
        (
            "halten",
            "halte hältst hält halten haltet halten",
            "hielt hieltest hielt hielten hieltet hielten",
            "gehalten zu-halten halte",
        ),
        (
            "sein",
            "bin bist ist sind seid sind",
            "war warst war waren wart waren",
            "gewesen zu-sein sei",
        ),
    ],
)  # fmt: skip
def test_verb_paradigms(verb: str, present: str, past: str, others: str) -> None:
    for tense, forms in (("present", present), ("past", past)):
        found = [conjugation.finite(verb, tense, person, many) for many in (False, True) for person in (1, 2, 3)]
        assert " ".join(found) == forms
    participle, infinitive, command = (form.replace("-", " ") for form in others.split())
    assert (conjugation.participle(verb), conjugation.infinitive(verb, zu=True)) == (participle, infinitive)
    assert conjugation.imperative(verb, "du") == command


def test_noun_paradigms() -> None:
    nouns = {(noun.kind, noun.german): noun for ranked in lexicon.NOUNS.values() for noun in ranked.items}
    for key, forms in {
        ("person", "student"): "student studenten studenten studenten studenten",
        ("person", "mann"): "mann mann mann mannes männern",
        ("person", "ärztin"): "ärztin ärztin ärztin ärztin ärztinnen",
        ("doc", "zeugnis"): "zeugnis zeugnis zeugnis zeugnisses zeugnissen",
        ("vehicle", "auto"): "auto auto auto autos autos",
    }.items():
        noun = nouns[key]
        assert " ".join([*(noun.inflected(case, False) for case in german.CASES), noun.inflected("dat", True)]) == forms


def test_numbers() -> None:
    assert [german.cardinal(n) for n in (1, 21, 101, 1_234)] == [
        "eins",
        "einundzwanzig",
        "einhunderteins",
        "eintausendzweihundertvierunddreißig",
    ]
    assert [english.cardinal(n) for n in (21, 101, 1_234)] == [
        "twenty-one",
        "one hundred and one",
        "one thousand two hundred and thirty-four",
    ]
    for cardinal in (german.cardinal, english.cardinal):
        assert len({cardinal(n) for n in range(5_000)}) == 5_000


@pytest.mark.parametrize(
    ("words", "short"), [("dem haus", "im haus"), ("das haus", "ins haus"), ("dem", "in dem"), ("einem haus", "in einem haus")]
)
def test_prepositions_contract(words: str, short: str) -> None:
    assert german.preposition("in", words) == short


def test_negation_and_questions_take_do_support() -> None:
    pen = Pen(Random(4))
    frame = next(frame for frame in PLAIN.items if frame.verb == "schlafen")
    she = personal("f", "she")
    clause = event(pen, frame=frame, subject=she, plan=Plan("habit", negated=True), terse=True, placed=True)
    assert (clause.main(), clause.statement(), clause.asked()) == (
        "sie schläft nicht",
        "she does not sleep",
        "does she not sleep",
    )
    clause = event(pen, frame=frame, subject=she, plan=Plan("past", modal="müssen", negated=True), terse=True, placed=True)
    assert (clause.subordinate("weil"), clause.statement()) == ("weil sie nicht schlafen musste", "she did not have to sleep")


def test_a_german_verb_with_two_translations_tells_them_apart() -> None:
    """Two frames of one verb differ in pattern, or no noun fits the same place of both."""
    patterns = defaultdict(list)
    for frame in lexicon.FRAMES:
        shape = tuple((a.kind, a.preposition, a.case) for a in frame.arguments)
        patterns[frame.verb, frame.predicate, frame.reflexive, shape].append(frame)
    for frames in patterns.values():
        for at, one in enumerate(frames):
            for other in frames[:at]:
                assert set(one.english) & set(other.english) or any(
                    disjoint(*pools) for pools in zip(places(one), places(other), strict=True)
                )


def places(frame):  # type: ignore[no-untyped-def]
    return [frame.subject, *(argument.pool for argument in frame.arguments)]


def disjoint(one, other) -> bool:  # type: ignore[no-untyped-def]
    nouns = [pool.nouns if pool else frozenset() for pool in (one, other)]
    return bool(nouns[0] and nouns[1]) and not nouns[0] & nouns[1]


def test_every_way_of_joining_clauses_is_used() -> None:
    pen = Pen(Random(6), budget=3)
    for rule in dict.fromkeys(statements.JOINED):
        pen.budget = 3
        source, target = rule(pen)
        assert len(tidy(source).split()) > 4
        assert len(tidy(target).split()) > 4
