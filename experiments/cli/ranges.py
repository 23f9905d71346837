"""Ranges of the numbers in signatures, by parameter name; ``conf`` has those of all other keys."""

from __future__ import annotations

from textgen_env.errors import Range
from textgen_env.tasks import task

ANY = Range(-(10**9), 10**9)  # for every other number; excludes infinity and NaN


def _same(allowed: Range, names: str) -> dict[str, Range]:
    return dict.fromkeys(names.split(), allowed)


# A range that depends on the corpus or on another setting is checked where the number is used.
RANGES: dict[str, Range] = {
    **task.RANGES,
    **_same(Range(1, 10**7), "train valid test"),
    **_same(Range(1, 10**6), "every symbols capacity accept_top_k rank"),
    **_same(Range(1, 65_536), "horizon source_limit target_limit min_length max_length"),
    **_same(Range(1, 16_384), "width encoder_width ffn embedding heads group"),
    **_same(Range(1, 1000), "samples epochs passes actions delta"),
    **_same(Range(1, 256), "layers decoder_layers encoder_layers"),
    **_same(Range(0, 10**6), "top_k label_top_k threshold tolerance"),
    **_same(Range(0, 16_384), "projection window"),
    **_same(Range(0, 1), "discount trace expert_share student_fraction weight_floor growth"),
    **_same(Range(0, 1, "most"), "label_smoothing dropout teacher_mix nll skew"),
    **_same(Range(0, 10**6, "least"), "clip alpha memory_mb"),
    "slip": Range(0, 1, "both"),
}
