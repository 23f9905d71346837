"""Refuses keys that have no effect, and launchers of several processes."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.discovery import find_algorithm
from agents.model import PRETRAINED as MODEL
from textgen_env.errors import UserError

HUB = ("hub", "hub_config", "hub_revision")
PRETRAINED = ("source_prefix", "separator", "chat", "source_limit", "horizon")  # of an hf: model
COUNT = range(1, 10**9)
BEAM = range(2, 10**9)  # widths of beam search; 1 is greedy
# Keys that have an effect only with some values of another key; a row without that key is ignored.
USED_WITH: tuple[tuple[str, str, Collection[Any]], ...] = (
    ("algorithm.relabel algorithm.label_smoothing", "algorithm.labels", ("action",)),
    (
        "algorithm.label_top_k algorithm.tail algorithm.nll",
        "algorithm.labels",
        ("distribution",),
    ),
    ("algorithm.tail", "algorithm.label_top_k", COUNT),
    ("algorithm.actions reward", "algorithm.cost_to_go", ("roll_out",)),
    ("algorithm.beta", "algorithm.divergence", ("jsd",)),
    ("algorithm.floor algorithm.window algorithm.discount", "algorithm.credit", ("product", "sum")),
    ("algorithm.log_floor", "algorithm.credit", ("product",)),
    ("train.checkpointing", "student.name", ("transformer", "hf")),
    ("evaluate.length_penalty", "evaluate.beam", BEAM),
    ("length_penalty", "beam", BEAM),
    ("length_penalty", "beams", BEAM),
    ("sizes", "suite", ("train", "decode", "onpolicy", "all")),
    ("batch", "suite", ("decode", "all")),
    ("steps", "suite", ("decode", "all")),
    ("episodes", "suite", ("env", "all")),
    ("memory", "suite", ("memory",)),
    ("run rows", "suite", ("beam",)),
    ("keep", "beam", BEAM),
    ("quantization rows batch_sizes", "format", ("ctranslate2",)),
)


def check_given(keys: Iterable[str], config: DictConfig) -> None:
    """Refuse the first of ``keys``, those of the command line, that has no effect in ``config``."""
    keys = list(keys)
    for key in keys:
        if reason := why_idle(key, config):
            raise UserError(f"{key} does not apply: {reason}; leave it out")
    for phase in ("train", "teacher.train"):
        key, node = f"{phase}.validations", OmegaConf.select(config, phase)
        if key in keys and node.steps and node.validations > node.steps:
            raise UserError(f"{key}={node.validations}: at most {phase}.steps={node.steps}")
        if f"{phase}.steps" in keys and node.steps is None:
            replaced = f"{phase}.epochs={node.epochs:g} replaces it"
            raise UserError(f"{phase}.steps does not apply: {replaced}; leave one of them out")


def why_idle(key: str, config: DictConfig) -> str:
    """Why ``key`` has no effect in a run of ``config``; empty where it has one."""
    group, _, name = key.partition(".")
    if group == "teacher" and OmegaConf.is_dict(config.teacher):
        return _idle_of_teacher(name, config)
    if group == "env" and "corpus" in config.env:
        return _idle_of_corpus(name, config.env)
    if key == "reward" and "algorithm" in config and not uses_reward(config.algorithm.name):
        return f"algorithm={config.algorithm.name} uses no reward"
    if key.startswith("student.lora.") and key != (rank := "student.lora.rank"):
        return "" if OmegaConf.select(config, rank) else f"only {rank}=… adds an adapter"
    if key == "epochs" and config.get("trainer") == "sb3_a2c":
        return "trainer=sb3_a2c uses each step once"
    if key in ("seed", "top_k") and config.get("samples") == 0:
        return "only samples=1 or more uses it"
    if key in PRETRAINED and "source_prefix" in config and not str(config.run).startswith("hf:"):
        return "only run=hf:… uses it"
    if key == "device" and config.get("format") == "merged":
        return "format=merged generates nothing"
    if key.startswith("neural_") and config.get("neural") is False:
        return "neural=false trains no students"
    for keys, setting, values in USED_WITH:
        chosen = OmegaConf.select(config, setting)
        if key in keys.split() and chosen is not None:
            entries = chosen if OmegaConf.is_list(chosen) else [chosen]
            if not any(entry in values for entry in entries):
                at_least = f"{values.start} or more" if isinstance(values, range) else ""
                allowed = at_least or " or ".join(map(str, values))
                return f"it has an effect only with {setting.removesuffix('.name')}={allowed}"
    return ""


def depends_on_algorithm(key: str) -> bool:
    """Whether the effect of ``key`` depends on the algorithm."""
    return key.startswith("algorithm.") or key in ("reward", "teacher.length_penalty")


def uses_reward(algorithm: str) -> bool:
    """Whether the algorithm's constructor has a parameter ``reward``."""
    return "reward" in inspect.signature(find_algorithm(algorithm).func).parameters


def _idle_of_teacher(name: str, config: DictConfig) -> str:
    teacher = config.teacher
    path, exact = teacher.path or "", teacher.get("name") == "exact"  # interop.py has a path alone
    if name == "prompt_field":
        return "" if "template" in config.env else "only a task of conversations uses it"
    if name == "share_vocabulary":
        if config.student.name == "hf":
            return "the student brings its tokenizer"
        brings = path.startswith("hf:") or (Path(path) / MODEL).is_dir()
        return "" if path and brings else "only a teacher with a tokenizer of transformers uses it"
    if name in ("source_prefix", "separator", "dtype"):
        return "" if path.startswith("hf:") else "only teacher.path=hf:… uses it"
    if name == "train.checkpointing" and not path and teacher.name != "transformer":
        return "only teacher=transformer uses it"
    if name == "compile" and path.startswith("outputs:"):
        return "recorded outputs are not computed"
    if name in ("path", "compile"):
        return ""
    if name == "length_penalty":
        if (not path and exact) or path.startswith("outputs:"):
            return f"{f'teacher.path={path}' if path else 'teacher=exact'} has no beam search"
        algorithm = find_algorithm(config.algorithm.name).func
        # a setting of the algorithm, or fixed by its class
        demonstrations = config.algorithm.get("demonstrations") or algorithm.demonstrations  # type: ignore[attr-defined]
        if demonstrations != "references":
            return ""
        return f"algorithm={config.algorithm.name} uses no demonstrations of the teacher"
    if path:
        return f"the teacher comes from teacher.path={path}"
    return "teacher=exact is not trained" if name and exact else ""


def _idle_of_corpus(name: str, env: DictConfig) -> str:
    given = next((f"env.{key}" for key in ("data", "data_dir") if env.get(key)), "")
    if (given or env.corpus == "local") and name in ("bundled_pairs", *HUB):
        return f"the corpus comes from {given or 'env.data'}"
    if name == "bleu_tokenizer" and env.get("metric", "bleu") != "bleu":
        return "it has an effect only with env.metric=bleu"
    unused = HUB if env.corpus in ("auto", "bundled") else ("bundled_pairs",)
    hint = ", but env.corpus=hub does" if name in HUB else ""
    return f"env.corpus={env.corpus} does not use it{hint}" if name in unused else ""


def check_single_process(environment: Mapping[str, str]) -> None:
    """Refuse torchrun, mpirun and srun with several processes: each would do all the work."""
    names = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
    counts = {name: environment.get(name, "") for name in names}
    if "SLURM_PROCID" in environment:
        # inside a step; a job of several tasks is fine as long as no step starts them
        counts["SLURM_STEP_NUM_TASKS"] = environment.get("SLURM_STEP_NUM_TASKS", "")
        if environment["SLURM_PROCID"] not in ("", "0"):
            counts.setdefault("SLURM_NTASKS", environment.get("SLURM_NTASKS", "2"))
    for name, count in counts.items():
        if count.isdecimal() and int(count) > 1:
            raise UserError(
                f"{name}={count}: each of {count} processes would do all the work; "
                "start one, without a launcher"
            )
