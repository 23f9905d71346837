"""Scripts without spaces between words: detect them by character or by language code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache

BLOCKS: dict[str, tuple[tuple[int, int], ...]] = {  # script → (first, last) code points
    "Han": (
        *((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF)),
        *((0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
    ),
    "Kana": ((0x3041, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F), (0x1AFF0, 0x1B16F)),
    "Bopomofo": ((0x3100, 0x312F), (0x31A0, 0x31BF)),
    "Thai": ((0x0E00, 0x0E7F),),
    "Lao": ((0x0E80, 0x0EFF),),
    "Tibetan": ((0x0F00, 0x0FFF),),
    "Burmese": ((0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F)),
    "Khmer": ((0x1780, 0x17FF),),
    "Tai Le": ((0x1950, 0x197F),),
    "New Tai Lue": ((0x1980, 0x19DF),),
    "Tai Tham": ((0x1A20, 0x1AAF),),
    "Balinese": ((0x1B00, 0x1B7F),),
    "Javanese": ((0xA980, 0xA9DF),),
    "Tai Viet": ((0xAA80, 0xAADF),),
    "Yi": ((0xA000, 0xA4CF),),
}
LANGUAGES = {  # ISO 639-1, 639-2 or 639-3 code → script in BLOCKS
    **dict.fromkeys(("th", "tha", "nod", "tts", "sou"), "Thai"),
    **dict.fromkeys(("lo", "lao"), "Lao"),
    **dict.fromkeys(("bo", "bod", "tib", "dz", "dzo"), "Tibetan"),
    **dict.fromkeys(("my", "mya", "bur", "shn", "mnw", "ksw"), "Burmese"),
    **dict.fromkeys(("km", "khm"), "Khmer"),
    **dict.fromkeys(("tdd",), "Tai Le"),
    **dict.fromkeys(("khb",), "New Tai Lue"),
    **dict.fromkeys(("blt",), "Tai Viet"),
    **dict.fromkeys(("ii", "iii"), "Yi"),
    **dict.fromkeys(
        ("zh", "zho", "chi", "cmn", "yue", "wuu", "nan", "hak", "gan", "hsn", "lzh"), "Han"
    ),
    **dict.fromkeys(("ja", "jpn"), "Kana"),
}


@cache
def script(character: str) -> str:
    """Return the script in ``BLOCKS`` of ``character``; empty if its script has spaces."""
    code = ord(character)
    if code < 0x0E00:
        return ""
    blocks = ((name, block) for name, ranges in BLOCKS.items() for block in ranges)
    return next((name for name, (first, last) in blocks if first <= code <= last), "")


def main_script(texts: Iterable[str]) -> str:
    """Return the script in ``BLOCKS`` of most letters; empty if most letters have another script.

    Japanese mixes Kana and Han, so text in both counts as Kana if at least 5 % of these letters
    are.
    """
    counts = Counter(script(letter) for text in texts for letter in text if letter.isalpha())
    spaced, kana, han = counts.pop("", 0), counts["Kana"], counts["Han"]
    if sum(counts.values()) <= spaced:
        return ""
    most_common = max(counts, key=counts.__getitem__)
    if most_common in ("Kana", "Han"):
        return "Kana" if 20 * kana >= kana + han else "Han"
    return most_common
