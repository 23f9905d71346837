"""What the command line may say: the range of every number, keys that apply to what was chosen, and one process only."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig

from groups import algorithm_class
from textgen_env.errors import Range, UserError, check_range

MAY_BE_EMPTY = ("source_prefix", "separator", "hub_config", "hub_revision")  # an empty text means something there
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SEED = Range(0, 2**32 - 1)  # what every generator takes, NumPy's legacy one included
SHARE = Range(0, 1)
ANY = Range(-(10**9), 10**9)  # of a number without a row in RANGES: neither infinite nor NaN


def _same(allowed: Range, names: str) -> dict[str, Range]:
    return dict.fromkeys(names.split(), allowed)


# The range of a number by its key, or by the last part of its key; of a list, that of each entry.  What depends on the
# corpus or on another setting is checked where it is used.
RANGES: dict[str, Range] = {
    **_same(SEED, "seed seeds"),
    **_same(Range(1, CPUS), "threads workers"),
    **_same(Range(1, 10**9), "steps rows validation_rows speed_rows demonstrations"),
    **_same(Range(1, 10**7), "batch_tokens bundled_pairs resamples episodes train valid test worlds"),
    **_same(Range(1, 10**6), "vocabulary validations every rounds symbols tokens"),
    **_same(Range(1, 10**5), "batch_size batch_sizes envs corrupt"),
    **_same(Range(1, 65_536), "horizon source_limit target_limit min_length max_length lengths"),
    **_same(Range(1, 16_384), "width encoder_width ffn embedding heads group"),
    **_same(Range(1, 1000), "beam beams samples epochs passes actions delta neural_seeds"),
    **_same(Range(1, 256), "layers decoder_layers encoder_layers"),
    **_same(Range(0, 10**9), "warmup"),
    **_same(Range(0, 10**6), "top_k label_top_k encodings corrupt_at"),
    **_same(Range(0, 16_384), "projection window"),
    **_same(Range(2, 65_536), "shortest longest neural_shortest neural_longest"),
    **_same(SHARE, "gamma discount trace expert_share student_fraction weight_floor"),
    **_same(Range(0, 1, "most"), "label_smoothing dropout teacher_mix"),
    **_same(Range(0, 1, "both"), "epsilon neural_epsilon slip"),
    **_same(Range(0, 100, "least"), "lr"),
    **_same(Range(0, 10**6, "least"), "clip alpha memory_mb"),
    "batch": Range(2, 10**6),
    "limit_ratio": Range(0, 1000),
    "length_penalty": Range(0, 100),
    "limit_offset": Range(1, 65_536),
    "seconds": Range(0, 3600),
}
REWARDED = ("reward",)
OF_TRAINED = ("label_smoothing", "train")  # of the group teacher, beside its architecture
BUNDLED = ("bundled_pairs",)
HUB = ("hub", "hub_config", "hub_revision")
SUITES = {"lengths": "growth", "episodes": "env", "memory": "memory"}  # of bench.py: key → the suite that it is of


def check_numbers(key: str, value: Any) -> None:
    """UserError with the valid range unless ``value``, or every entry of it, is a number of the range of ``key``."""
    allowed = RANGES.get(key) or RANGES.get(key.rpartition(".")[2], ANY)
    for number in value if isinstance(value, list) else [value]:
        if isinstance(number, int | float) and not isinstance(number, bool):
            check_range(key, number, allowed)


def check_empty(key: str, text: str) -> None:
    """UserError where nothing stands behind ``key=`` and that means nothing."""
    if not text.strip(" \t[]'\"") and key.rpartition(".")[2] not in MAY_BE_EMPTY:
        raise UserError(f"{key}={text}: empty; give at least one value, or leave the key out")


def check_given(keys: Iterable[str], config: DictConfig) -> None:
    """UserError for the first of ``keys``, those on the command line, that changes nothing beside the other choices."""
    keys = list(keys)
    for key in keys:
        if reason := why_idle(key, config):
            raise UserError(f"{key} does not apply: {reason}; leave it out")
    for phase in ("train", "teacher.train"):
        key = f"{phase}.validations"
        if key in keys:
            node = config.train if phase == "train" else config.teacher.train
            if node.validations > node.steps:
                raise UserError(f"{key}={node.validations}: at most the {node.steps:,} of {phase}.steps")


def why_idle(key: str, config: DictConfig) -> str:
    """Why ``key`` changes nothing in a run of ``config``, in words; empty where it does."""
    group, _, name = key.partition(".")
    if group == "teacher":
        return _idle_of_teacher(name, config.teacher)
    if group == "env" and "data_dir" in config.env:
        return _idle_of_corpus(name, config.env)
    if key in REWARDED and "algorithm" in config and not learns_from_rewards(config.algorithm.name):
        return f"algorithm={config.algorithm.name} learns from no rewards"
    if key == "epochs" and config.get("trainer") == "sb3_a2c":
        return "trainer=sb3_a2c uses each step once"
    if key.startswith("neural_") and config.get("neural") is False:
        return "neural=false trains no student"
    if key in SUITES and "suite" in config and not {SUITES[key], *(["all"] if key != "memory" else [])} & set(config.suite):
        return f"it is of suite {SUITES[key]}, which is not measured"
    return ""


def learns_from_rewards(algorithm: str) -> bool:
    """Whether the algorithm's constructor takes a reward."""
    return "reward" in inspect.signature(algorithm_class(algorithm)).parameters


def _idle_of_teacher(name: str, teacher: DictConfig) -> str:
    path = teacher.path or ""
    pretrained = path.startswith("hf:")
    if name in ("source_prefix", "separator"):
        return "" if pretrained else "only a teacher.path=hf:… has it"
    if name in ("path", "compile") or (name == "length_penalty" and (path or teacher.name != "exact")):
        return ""
    if name == "encodings":
        kept = not pretrained and (path or teacher.name == "transformer")
        return "" if kept else "only a transformer of this project keeps what its encoder made"
    if path:
        return f"the teacher is teacher.path={path}"
    return f"teacher={teacher.name} is not trained" if name and teacher.name == "exact" else ""


def _idle_of_corpus(name: str, env: DictConfig) -> str:
    if (env.data_dir or env.corpus == "local") and name in (*BUNDLED, *HUB):
        return "the corpus is the folder env.data_dir"
    if (env.corpus, name) in {("bundled", key) for key in HUB} | {("hub", key) for key in BUNDLED}:
        return f"the corpus is env.corpus={env.corpus}"
    return ""


@contextmanager
def keys_of(group: str, settings: Iterable[str]) -> Iterator[None]:
    """A UserError about one of the ``settings`` of ``group`` names its key: ``rate=3: …`` → ``algorithm.rate=3: …``."""
    try:
        yield
    except UserError as error:
        named = re.match(r"(\w+)=", str(error))
        if named and named[1] in settings:
            raise UserError(f"{group}.{error}") from error
        raise


def check_single_process(environment: Mapping[str, str]) -> None:
    """UserError where a launcher (torchrun, mpirun, srun) started several of this process: each would do all the work."""
    counts = {name: environment.get(name, "") for name in ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")}
    if "SLURM_PROCID" in environment:  # inside a step; a job of several tasks is fine as long as no step starts them
        counts["SLURM_STEP_NUM_TASKS"] = environment.get("SLURM_STEP_NUM_TASKS", "")
        if environment["SLURM_PROCID"] not in ("", "0"):
            counts.setdefault("SLURM_NTASKS", environment.get("SLURM_NTASKS", "2"))
    for name, count in counts.items():
        if count.isdecimal() and int(count) > 1:
            raise UserError(f"{name}={count}: each of {count} processes would do all the work; start one, without a launcher")
