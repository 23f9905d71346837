"""The teacher of a run.

A pretrained model, the student of another run, the task's exact expert, or a policy that is trained
by maximum likelihood and cached.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig
from torch import nn

from agents.generation.decoder import Decode
from agents.generation.demonstrations import oracle_decoder
from agents.model import fingerprint, load_policy
from agents.policies.adapters import has_adapter, without_adapter
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.pretrained import load_pretrained
from agents.policies.source_view import SourceViewPolicy
from agents.policies.transformer import TransformerPolicy
from agents.runs.cached_teacher import cached_teacher
from agents.runs.folder import finished_run
from agents.runs.machine import Machine
from agents.runs.oracles import (
    policy_oracle,
    recorded_oracle,
    saved_vocabulary,
    teacher_tokenizer,
)
from agents.runs.recorded import RecordedOracle
from agents.runs.results import RESULTS, read_results
from agents.runs.student import build_student
from agents.runs.task import STUDENT, pretrained_name, recorded_name
from textgen_env.data.files import CorruptFileError, cache_dir, load_json
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.oracles.source_view import source_view
from textgen_env.oracles.texts import ReencodingOracle, TextOracle
from textgen_env.tasks.task import Task
from textgen_env.terminal import console
from textgen_env.types import Oracle


class Teacher(NamedTuple):
    """The expert to imitate.

    Attributes:
        oracle: answers the student's queries.
        decode: generates the test outputs; None if they cannot be generated.
        summary: architecture, parameters, path, cost and training, for ``results.json``.
    """

    oracle: Oracle
    decode: Decode | None
    summary: dict[str, Any]

    @property
    def policy(self) -> Any:
        """The policy behind the oracle; None for an exact expert and for recorded outputs."""
        return getattr(self.oracle, "policy", None)

    @property
    def recorded(self) -> list[str] | None:
        """Its recorded outputs for the test split; None if there are none."""
        return self.oracle.test if isinstance(self.oracle, RecordedOracle) else None

    def check_probabilities(self, command: str) -> None:
        """UserError for a ``command`` that needs more than texts, which may be all there is."""
        if isinstance(self.oracle, TextOracle):
            raise self.oracle.error(command)


def find_teacher(config: DictConfig, task: Task, machine: Machine, student: Any = None) -> Teacher:
    """Load the teacher of ``config.teacher``, or train it and cache it for later runs.

    Args:
        config: all settings.
        task: has the student's vocabulary.
        machine: precision and device.
        student: its base model teaches with ``teacher.path=student``; None: it is built for that.

    Raises:
        UserError: the teacher cannot be loaded or trained with these settings.
    """
    _check_compiled(config)  # before anything is trained or downloaded
    if recorded_name(config):
        return _recorded(config, task)
    if not config.teacher.path and config.teacher.name == "exact":
        return _exact(task)
    policy, vocabulary, path, architecture = _open(config, task, machine, student)
    shared = vocabulary.fingerprint == task.vocabulary.fingerprint
    if shared and isinstance(policy, HuggingFacePolicy):
        policy.check_limits(task.source_limit, task.horizon)
    policy.to(machine.device).requires_grad_(False)
    if config.teacher.get("compile"):
        _compile(policy, path)
    if shared and (view := source_view(task.splits.values())):
        policy = SourceViewPolicy(policy, view)
    oracle = policy_oracle(policy, vocabulary, task, config.teacher.length_penalty, path)
    if isinstance(oracle, TextOracle):
        console.print(f"teacher: exchanges texts: {oracle.reason}", markup=False, soft_wrap=True)
    beam, penalty = config.evaluate.beam, config.evaluate.length_penalty
    return Teacher(
        oracle=oracle,
        decode=oracle_decoder(oracle, beam, *machine, penalty),
        summary={
            "architecture": architecture,
            "parameters": parameter_count(policy),
            "path": path,
            **({"base": config.student.path} if path == STUDENT else {}),
            "cost": teacher_record(path, "cost"),
            **({"training": training} if (training := teacher_record(path, "training")) else {}),
        },
    )


class Source(NamedTuple):
    """A policy that may teach, and where it comes from.

    Attributes:
        policy: in eval mode or not, on the CPU.
        vocabulary: its tokens.
        path: for ``results.json``: a folder, ``hf:MODEL`` or ``student``.
        architecture: its name.
    """

    policy: Any
    vocabulary: Vocabulary
    path: str
    architecture: str


def _open(config: DictConfig, task: Task, machine: Machine, student: Any) -> Source:
    """Open the policy of ``teacher.path``; without one, train it or take it from the cache."""
    path = config.teacher.path
    if path == STUDENT:
        console.print("teacher: the base model of the student, without the adapter")
        policy = base_model(student or build_student(config, task))
        return Source(policy, task.vocabulary, STUDENT, policy.model.config.model_type)
    if model := pretrained_name(config):
        _announce(model)
        return _open_pretrained(model, config, task)
    if path:
        _announce(path)
    folder = finished_run(path) if path else cached_teacher(config, task, machine)
    vocabulary = saved_vocabulary(folder, task)
    policy, header = load_policy(folder, vocabulary)
    return Source(policy, vocabulary, str(folder), header["architecture"]["name"])


def _open_pretrained(model: str, config: DictConfig, task: Task) -> Source:
    settings = config.teacher
    tokenizer = teacher_tokenizer(model, config, task)
    policy = load_pretrained(
        model,
        source_prefix=settings.source_prefix,
        separator=settings.separator,
        dtype=settings.get("dtype", "float32"),  # missing in runs of earlier versions
        vocabulary=tokenizer.vocabulary,
        template=tokenizer.template,
    )
    return Source(policy, policy.vocabulary, settings.path, policy.model.config.model_type)


def _announce(name: str) -> None:
    path = Path(name).resolve() if Path(name).is_dir() else name
    console.print(f"teacher: opened from {path}", markup=False, soft_wrap=True)


def _check_compiled(config: DictConfig) -> None:
    """UserError for ``teacher.compile=true`` with a teacher that cannot be compiled."""
    settings, other = config.teacher, pretrained_name(config) or recorded_name(config)
    own = settings.path or settings.name == "transformer"
    if settings.get("compile") and (other or not own):  # missing in runs of earlier versions
        raise _not_compiled(settings.path or settings.name)


def _compile(policy: Any, name: str) -> None:
    if not isinstance(policy, TransformerPolicy):
        raise _not_compiled(name)
    for layer in (*policy.encoder, *policy.decoder):
        layer.compile(dynamic=True)


def _not_compiled(name: str) -> UserError:
    return UserError(
        f"teacher.compile=true: only a transformer of this project is compiled, not {name}"
    )


def base_model(student: Any) -> HuggingFacePolicy:
    """The student with its adapter off; UserError if it has none."""
    if not isinstance(student, HuggingFacePolicy) or not has_adapter(student):
        raise UserError(
            "teacher.path=student: the student has no adapter, so its training would change the "
            "teacher; add student=hf student.lora.rank=8, or name a model: teacher.path=hf:MODEL"
        )
    return without_adapter(student)


def _exact(task: Task) -> Teacher:
    if task.oracle is None:
        raise UserError(f"teacher=exact: {task.id} has no exact expert; use teacher=transformer")
    oracle = task.oracle()
    summary = {"architecture": "exact", "parameters": None, "path": None, "cost": None}
    return Teacher(oracle, oracle.demonstrate, summary)


def _recorded(config: DictConfig, task: Task) -> Teacher:
    """A black-box teacher: not timed, and scored only with outputs for the test split."""
    _announce(recorded_name(config))
    oracle = recorded_oracle(recorded_name(config), task)
    summary = {"architecture": "outputs", "parameters": None, "path": config.teacher.path}
    return Teacher(oracle, None, {**summary, "cost": None, "sha256": oracle.sha256})


def parameter_count(policy: nn.Module) -> int:
    """Number of weights."""
    return sum(weight.numel() for weight in policy.parameters())


def teacher_record(path: str, name: str) -> dict[str, Any] | None:
    """What is known of training the teacher in the folder ``path``.

    Args:
        path: a cached teacher, a run or a pretrained model.
        name: "cost", or "training": how far it went.

    Returns:
        As in ``results.json``; None if it is unknown.
    """
    if path == STUDENT:
        return None
    cached, run = Path(path) / f"{name}.json", Path(path) / "results.json"
    if cached.is_file():
        try:
            return load_json(cached, RESULTS[f"{name}?"])  # type: ignore[no-any-return]
        except CorruptFileError as error:
            message = f"{error}; the {name} of the teacher is unknown"
            console.print(message, markup=False, soft_wrap=True)
            return None
    return read_results(run).get(name) if run.is_file() else None


def outputs_folder(teacher: Teacher, task: Task, precision: str) -> Path:
    """The cache folder for the test outputs of this teacher on this corpus."""
    policy = teacher.policy
    name = teacher.summary["architecture"] if policy is None else fingerprint(policy)
    limits = "-".join(map(str, task.limits))
    if isinstance(teacher.oracle, ReencodingOracle):
        limits += f"-{teacher.oracle.vocabulary.fingerprint}-{task.vocabulary.fingerprint}"
    key = f"{task.id}-{task.corpus.fingerprint}-{limits}-{name}-{precision}"
    return cache_dir() / "outputs" / key
