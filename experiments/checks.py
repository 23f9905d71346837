"""What the command line accepts: the range of every number, keys that have an effect, and one process only."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from agents.discovery import find_algorithm
from textgen_env.errors import Range, UserError, check_range
from textgen_env.tasks import task

MAY_BE_EMPTY = (
    "source_prefix",
    "separator",
    "hub_config",
    "hub_revision",
)  # an empty text means something there
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SHARE = Range(0, 1)
ANY = Range(-(10**9), 10**9)  # of a number without a row in RANGES: neither infinite nor NaN


def _same(allowed: Range, names: str) -> dict[str, Range]:
    return dict.fromkeys(names.split(), allowed)


# The range of a number by its key, or by the last part of its key; of a list, that of each entry.  What depends on the
# corpus or on another setting is checked where it is used.
RANGES: dict[str, Range] = {
    **task.RANGES,
    "seeds": task.RANGES["seed"],
    **_same(Range(1, CPUS), "threads workers"),
    **_same(Range(1, 10**9), "steps rows validation_rows speed_rows demonstrations"),
    **_same(Range(1, 10**7), "batch_tokens resamples episodes train valid test mdps"),
    **_same(Range(1, 10**6), "validations every rounds symbols tokens"),
    **_same(Range(1, 10**5), "batch_size batch_sizes envs corrupt"),
    **_same(Range(1, 65_536), "horizon source_limit target_limit min_length max_length"),
    **_same(Range(1, 16_384), "width encoder_width ffn embedding heads group"),
    **_same(Range(1, 1000), "beam beams samples epochs passes actions delta neural_seeds"),
    **_same(Range(1, 256), "layers decoder_layers encoder_layers"),
    **_same(Range(0, 10**9), "warmup sentence"),
    **_same(Range(0, 10**6), "top_k label_top_k corrupt_at"),
    **_same(Range(0, 16_384), "projection window"),
    **_same(Range(2, 65_536), "shortest longest neural_shortest neural_longest"),
    **_same(SHARE, "gamma discount trace expert_share student_fraction weight_floor"),
    **_same(Range(0, 1, "most"), "label_smoothing dropout teacher_mix"),
    **_same(Range(0, 1, "both"), "epsilon neural_epsilon slip"),
    **_same(Range(0, 100, "least"), "lr"),
    **_same(Range(0, 10**6, "least"), "clip alpha memory_mb"),
    "batch": Range(2, 10**6),
    "length_penalty": Range(0, 100),
    "seconds": Range(0, 3600),
}
BUNDLED = ("bundled_pairs",)
HUB = ("hub", "hub_config", "hub_revision")
SEVERAL = range(2, 10**9)  # beam widths of a beam search; 1 is greedy
# Keys, a setting, and its values under which they are read.  Where there is no such setting the row says nothing.
READ_UNDER: tuple[tuple[str, str, Collection[Any]], ...] = (
    ("algorithm.relabel algorithm.label_smoothing", "algorithm.labels", ("action",)),
    ("algorithm.label_top_k", "algorithm.labels", ("distribution",)),
    ("algorithm.actions reward", "algorithm.cost_to_go", ("roll_out",)),
    ("algorithm.beta", "algorithm.divergence", ("jsd",)),
    ("algorithm.floor algorithm.window algorithm.discount", "algorithm.credit", ("product", "sum")),
    ("algorithm.log_floor", "algorithm.credit", ("product",)),
    ("evaluate.length_penalty", "evaluate.beam", SEVERAL),
    ("length_penalty", "beam", SEVERAL),
    ("length_penalty", "beams", SEVERAL),
    ("sizes", "suite", ("train", "decode", "onpolicy", "all")),
    ("batch", "suite", ("decode", "all")),
    ("steps", "suite", ("decode", "all")),
    ("episodes", "suite", ("env", "all")),
    ("memory", "suite", ("memory",)),
    ("run rows", "suite", ("beam",)),
)


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
    """UserError for the first of ``keys``, those on the command line, that has no effect beside the other choices."""
    keys = list(keys)
    for key in keys:
        if reason := why_idle(key, config):
            raise UserError(f"{key} does not apply: {reason}; leave it out")
    for phase in ("train", "teacher.train"):
        key = f"{phase}.validations"
        if key in keys:
            node = config.train if phase == "train" else config.teacher.train
            if node.validations > node.steps:
                raise UserError(
                    f"{key}={node.validations}: at most the {node.steps:,} of {phase}.steps"
                )


def why_idle(key: str, config: DictConfig) -> str:
    """Why ``key`` has no effect in a run of ``config``, in words; empty where it has one."""
    group, _, name = key.partition(".")
    if group == "teacher":
        return _idle_of_teacher(name, config)
    if group == "env" and "corpus" in config.env:
        return _idle_of_corpus(name, config.env)
    if key == "reward" and "algorithm" in config and not learns_from_rewards(config.algorithm.name):
        return f"algorithm={config.algorithm.name} learns from no rewards"
    if key == "epochs" and config.get("trainer") == "sb3_a2c":
        return "trainer=sb3_a2c uses each step once"
    if key.startswith("neural_") and config.get("neural") is False:
        return "neural=false trains no student"
    return _unread(key, config)


def _unread(key: str, config: DictConfig) -> str:
    """Why ``key`` is not read, by ``READ_UNDER``."""
    for keys, setting, values in READ_UNDER:
        chosen = OmegaConf.select(config, setting)
        if key not in keys.split() or chosen is None:
            continue
        if not any(
            each in values for each in (chosen if isinstance(chosen, ListConfig) else [chosen])
        ):
            such = (
                f"{values[0]} or more"
                if isinstance(values, range)
                else " or ".join(map(str, values))
            )
            return f"only {setting}={such} reads it"
    return ""


def of_algorithm(key: str) -> bool:
    """Whether the effect of ``key`` depends on the algorithm."""
    return key.startswith("algorithm.") or key in ("reward", "teacher.length_penalty")


def learns_from_rewards(algorithm: str) -> bool:
    """Whether the algorithm's constructor takes a reward."""
    return "reward" in inspect.signature(find_algorithm(algorithm).func).parameters


def demonstrations_of(algorithm: DictConfig) -> str:
    """Whose demonstrations the algorithm learns from: a setting of it, or fixed by its class."""
    return algorithm.get("demonstrations") or find_algorithm(algorithm.name).func.demonstrations  # type: ignore[attr-defined]


def _idle_of_teacher(name: str, config: DictConfig) -> str:
    teacher = config.teacher
    path = teacher.path or ""
    pretrained = path.startswith("hf:")
    if name in ("source_prefix", "separator"):
        return "" if pretrained else "only a teacher.path=hf:… has it"
    if name in ("path", "compile"):
        return ""
    if name == "length_penalty":
        if not path and teacher.name == "exact":
            return "teacher=exact does no beam search"
        if demonstrations_of(config.algorithm) != "references":
            return ""
        return f"algorithm={config.algorithm.name} asks the teacher for no demonstrations"
    if path:
        return f"the teacher is teacher.path={path}"
    return f"teacher={teacher.name} is not trained" if name and teacher.name == "exact" else ""


def _idle_of_corpus(name: str, env: DictConfig) -> str:
    if (env.data_dir or env.corpus == "local") and name in (*BUNDLED, *HUB):
        return "the corpus is the folder env.data_dir"
    if (env.corpus, name) in {("bundled", key) for key in HUB} | {("hub", key) for key in BUNDLED}:
        return f"the corpus is env.corpus={env.corpus}"
    return ""


def check_single_process(environment: Mapping[str, str]) -> None:
    """UserError where a launcher (torchrun, mpirun, srun) started several of this process: each would do all the work."""
    counts = {
        name: environment.get(name, "")
        for name in ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
    }
    if (
        "SLURM_PROCID" in environment
    ):  # inside a step; a job of several tasks is fine as long as no step starts them
        counts["SLURM_STEP_NUM_TASKS"] = environment.get("SLURM_STEP_NUM_TASKS", "")
        if environment["SLURM_PROCID"] not in ("", "0"):
            counts.setdefault("SLURM_NTASKS", environment.get("SLURM_NTASKS", "2"))
    for name, count in counts.items():
        if count.isdecimal() and int(count) > 1:
            raise UserError(
                f"{name}={count}: each of {count} processes would do all the work; start one, without a launcher"
            )
