"""The systems of a comparison: an algorithm or a student with settings, labelled by them.

``{name: imitkd_full, rate: 0.1}`` is one entry of a list, and ``train.lr=0.001,0.003`` is one
system per value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import product
from typing import Any, NamedTuple

from hydra.core.override_parser.types import Transformer

from cli import idle, words
from cli.composing import literal, show
from cli.schema import keys, options
from textgen_env.errors import UserError, unknown

SHARED = ("env", "teacher", "preset", "metric", "evaluate")  # by all runs of a comparison
MAX_NAME = 80  # characters of a label in the name of a folder


class Variant(NamedTuple):
    """A choice of a group and the overrides that distinguish it.

    Attributes:
        group: "algorithm" or "student".
        name: such as "imitkd_full".
        settings: such as ``("algorithm.rate=0.1",)``.
    """

    group: str
    name: str
    settings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """``imitkd_full(rate=0.1)``."""
        texts = [
            f"{override.key_or_group.removeprefix(f'{self.group}.')}={show(override.value())}"
            for override in words.parse(self.settings)
        ]
        return f"{self.name}({', '.join(texts)})" if texts else self.name

    @property
    def file_name(self) -> str:
        """``imitkd_full_rate_0.1``; the same for the same label, whatever else is compared."""
        if not self.settings:
            return self.name
        name = re.sub(r"[^\w.+-]+", "_", self.label).strip("_")
        if len(name) > MAX_NAME or re.search(r"[^\w.+=(), -]", self.label):
            digest = blake2b(self.label.encode(), digest_size=4).hexdigest()
            name = f"{name[:MAX_NAME]}_{digest}"
        return name

    def with_settings(self, more: Iterable[str]) -> Variant:
        """The same choice with more overrides."""
        return self._replace(settings=(*self.settings, *more))


def listed(group: str, entries: Sequence[Any]) -> list[Variant]:
    """The variants in a list such as ``[mle, {name: imitkd_full, rate: 0.1}]``.

    Raises:
        UserError: an entry has no name, a setting is unknown, or an entry is repeated.
    """
    variants = [_variant(group, entry) for entry in entries]
    labels = [variant.label for variant in variants]
    if repeated := [label for label in labels if labels.count(label) > 1]:
        times = labels.count(repeated[0])
        raise UserError(f"{group}s: {repeated[0]} is given {times} times; give it once")
    return variants


def _variant(group: str, entry: Any) -> Variant:
    if not hasattr(entry, "items"):
        return Variant(group, str(entry))
    settings = {str(key): value for key, value in entry.items()}
    if "name" not in settings:
        raise UserError(f"{group}s: {show(settings)} has no name; write {{name: …}}")
    name, known = str(settings.pop("name")), keys("dagger", {})
    own = [*known, *keys("dagger", {group: name})] if name in options(group) else None
    full = {}
    for key, value in settings.items():
        path = f"{group}.{key}"
        if own is not None and path not in own:
            path = key  # a key of the run, such as train.lr or reward
            if path not in known:
                raise unknown("key", key, [word.removeprefix(f"{group}.") for word in own])
        full[path] = value
    return Variant(group, name, tuple(f"{key}={literal(value)}" for key, value in full.items()))


def split_sweeps(overrides: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Separate ``train.lr=0.001,0.003`` from the other overrides.

    Returns:
        The others, and ``{override: ["train.lr=0.001", "train.lr=0.003"]}``.

    Raises:
        UserError: a key is swept that all runs of a comparison share.
    """
    fixed, sweeps = [], {}
    for word, override in zip(overrides, words.parse(overrides), strict=True):
        if not (override.is_sweep_override() and override.is_discrete_sweep()):
            fixed.append(word)
            continue
        key = override.key_or_group
        if key.partition(".")[0] in SHARED and not idle.depends_on_algorithm(key):
            raise UserError(
                f"{word}: runs of one comparison share their task, teacher and evaluation; "
                "start one comparison per value"
            )
        texts = override.sweep_iterator(transformer=Transformer.encode)
        sweeps[word] = [f"{key}={text}" for text in texts]
    return fixed, sweeps


def crossed(
    algorithm: Variant, student: Variant, sweeps: Iterable[Sequence[str]]
) -> list[tuple[Variant, Variant]]:
    """Every combination of swept values, as settings of the algorithm or the student.

    A key whose effect depends on the algorithm belongs to it. Every other key belongs to the
    student, so that an algorithm's gain is over ``mle`` with the same value of it.
    """
    pairs = []
    for chosen in product(*sweeps):
        own = [word for word in chosen if idle.depends_on_algorithm(word.partition("=")[0])]
        others = [word for word in chosen if word not in own]
        pairs.append((algorithm.with_settings(own), student.with_settings(others)))
    return pairs
