"""The library in four functions: ``train``, ``distill``, ``evaluate`` and ``load``.

>>> import agents, textgen_env
>>> task = textgen_env.load_task("Copy-v0", symbols=3, max_length=1, horizon=2, train=50)
>>> fast = {"lr": 0.03, "warmup": 2, "batch_tokens": 32, "log": False}
>>> teacher = agents.train(agents.Transformer(task, layers=1, width=32), task, steps=25, **fast)
>>> student = agents.GRU(task, width=32, encoder_width=16)
>>> student = agents.distill(teacher, student, task, algorithm="imitkd_full", epochs=6, **fast)
>>> student.generate(["a", "b", "c"])
['a', 'b', 'c']
>>> agents.evaluate(student, task)["accuracy"].value
100.0
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agents.algorithms.base import is_oracle
from agents.evaluation.outputs import subset
from agents.model import Model
from agents.plan import AlgorithmChoice, Plan
from agents.policies.huggingface import HuggingFacePolicy
from agents.runs.folder import has_content, resumable
from agents.runs.locks import locked
from agents.runs.model import open_model
from agents.runs.oracles import policy_oracle, recorded_oracle
from agents.runs.task import STUDENT
from agents.runs.teacher import base_model
from agents.training.signals import Interrupted
from textgen_env.errors import Range, UserError, check_range, unknown
from textgen_env.metrics.scores import Score, report_scores
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks.task import Task
from textgen_env.terminal import console
from textgen_env.types import Oracle


def train(
    model: Model,
    task: Task,
    algorithm: AlgorithmChoice = "mle",
    *,
    folder: Path | str | None = None,
    log: bool = True,
    **settings: Any,
) -> Model:
    """Train a model without a teacher: on the references, a reward or the task's exact expert.

    The model is trained in place and ends with the weights of its best validation.

    Args:
        model: a new model, or a trained one to train further.
        task: its training split is learned, its validation split selects the weights. A Hugging
            Face model brings its own tokens; any other model needs those of the task.
        algorithm: a name as on the command line, a subclass of ``Algorithm``, or a
            ``functools.partial`` of one.
        folder: where to save checkpoints and metrics; ``load`` opens it. None: nowhere.
        log: show progress and messages on standard error.
        **settings: those of the trainer: ``steps=1000`` or ``epochs``, passes over the training
            data, ``lr=1e-3``, ``batch_tokens=4096``, ``validations=10``, ``validation_rows=250``,
            ``seed=0``, ``device="auto"``, ``precision="auto"`` and the others of ``TrainConfig``;
            ``resume=True`` continues the training in ``folder``, or starts it. ``reward``, a name
            or a function; by default the task's. And those of the algorithm.

    Returns:
        ``model``.

    Raises:
        UserError: a setting is unknown or invalid, or the training fails.
        Interrupted: a signal arrived; a checkpoint is in ``folder``, if there is one.
    """
    plan, task = Plan.from_settings(algorithm, settings), _fitting(task, model)
    oracle = task.oracle() if task.oracle else None
    with _messages(log), _saved_in(folder, plan.config.resume) as path:
        return plan.run(model, task, oracle, path)


def distill(
    teacher: Model | Oracle | Path | str,
    student: Model,
    task: Task,
    algorithm: AlgorithmChoice = "imitkd_full",
    *,
    folder: Path | str | None = None,
    **settings: Any,
) -> Model:
    """Train a student to imitate a teacher.

    The student is trained in place and ends with the weights of its best validation.

    Args:
        teacher: a model, an oracle, the name of a model for ``load``, or ``outputs:FILE``, its
            recorded outputs for the training sources (``textgen_env.data.outputs``), or "student",
            the base model of the student's adapter, with the same weights in memory. A model with
            other tokens than the task's exchanges texts with the student, which is enough for
            "seqkd", "seqinter" and rewards; ``task.with_vocabulary(teacher.vocabulary)`` is a task
            with its tokens.
        student: a new model, or a trained one to train further.
        task: as in ``train``.
        algorithm: as in ``train``.
        folder: as in ``train``.
        **settings: as in ``train``, with ``log=True``; and ``length_penalty=1.0`` of the beam
            search that generates the teacher's demonstrations.

    Returns:
        ``student``.

    Raises:
        UserError: as in ``train``, or teacher, student and task do not fit together.
        Interrupted: as in ``train``.
    """
    log = settings.pop("log", True)
    plan, task = Plan.from_settings(algorithm, settings), _fitting(task, student)
    with _messages(log), _saved_in(folder, plan.config.resume) as path:
        oracle = _oracle(teacher, student, task, plan)
        return plan.run(student, task, oracle, path)


def evaluate(
    model: Model,
    task: Task,
    split: str = "test",
    beam: int = 1,
    length_penalty: float = 1.0,
    rows: int | None = None,
) -> dict[str, Score]:
    """Generate an output for each source of a split, and score the outputs.

    Args:
        model: any model; its vocabulary need not be the task's.
        task: the texts and the metric.
        split: test, valid or train.
        beam: beam width; 1 decodes greedily.
        length_penalty: length penalty of the beam search.
        rows: number of sentences, evenly spaced; None: all.

    Returns:
        ``{name: Score}``, the task's metric first. A score has a value in percent, a 95 % interval
        and a signature.
    """
    if split not in task.splits:
        raise unknown("split", split, task.splits)
    if rows is not None:
        check_range("rows", rows, Range(1, len(task.splits[split])))
    texts = subset(task.splits[split], rows).texts
    outputs = model.generate(texts.sources, beam, length_penalty)
    return report_scores(task.metric, outputs, texts.references)


def load(name: Path | str, **pretrained: Any) -> Model:
    """Open a saved model, the student of a run, or a Hugging Face model.

    Args:
        name: a folder, or ``hf:FOLDER_OR_NAME``.
        **pretrained: for a Hugging Face model, the settings of ``open_model``: ``source_prefix``,
            ``separator``, ``source_limit`` and ``horizon``.

    Raises:
        UserError: the model cannot be loaded.
    """
    return open_model(str(name), **pretrained)


def _fitting(task: Task, model: Model) -> Task:
    """The task in the tokens of a Hugging Face model; for any other model, the task as it is."""
    if not isinstance(model.policy, HuggingFacePolicy):
        return task
    model.policy.check_limits(task.source_limit, task.horizon)
    same = model.vocabulary.fingerprint == task.vocabulary.fingerprint
    return task if same else task.with_vocabulary(model.vocabulary)


def _oracle(teacher: Model | Oracle | Path | str, student: Model, task: Task, plan: Plan) -> Oracle:
    """The teacher as an oracle on the plan's device."""
    if isinstance(teacher, Path | str):
        scheme, _, path = str(teacher).partition(":")
        if scheme == "outputs":
            return recorded_oracle(path, task)
        if str(teacher) == STUDENT:
            base = base_model(student.policy)
            teacher = Model(base, {}, student.vocabulary, student.text_settings)
        else:
            teacher = load(teacher)
    if not isinstance(teacher, Model):
        if not is_oracle(teacher):
            raise UserError(
                f"teacher: expected a Model, an Oracle or a name, got {type(teacher).__name__}"
            )
        return teacher
    if teacher.policy is student.policy:
        raise UserError("teacher and student are the same model; pass copy.deepcopy(model) as one")
    oracle = policy_oracle(teacher.policy, teacher.vocabulary, task, plan.length_penalty)
    if isinstance(teacher.policy, HuggingFacePolicy) and isinstance(oracle, PolicyOracle):
        teacher.policy.check_limits(task.source_limit, task.horizon)
    teacher.policy.to(plan.config.device)
    return oracle


@contextmanager
def _messages(shown: bool) -> Iterator[None]:
    """Progress and messages on standard error, or not."""
    before, console.quiet = console.quiet, not shown or console.quiet
    try:
        yield
    finally:
        console.quiet = before


@contextmanager
def _saved_in(folder: Path | str | None, resume: bool) -> Iterator[Path]:
    """Lock the folder of a training; without one, use a folder that is deleted afterwards."""
    if folder is None:
        if resume:
            raise UserError("resume=True: name the folder of the training with folder=")
        with TemporaryDirectory() as temporary:
            try:
                yield Path(temporary)
            except Interrupted as error:
                reason = str(error).partition(";")[0] or "interrupted"
                message = f"{reason}; nothing was saved: to resume a training, give it a folder="
                raise Interrupted(message, error.number) from error
            except UserError as error:
                reason, stopped, _ = str(error).partition("; stopped")
                advice = "; stopped: lower lr or clip and train again" if stopped else ""
                raise UserError(reason + advice) from error
        return
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise UserError(f"folder={path} is a file; name a folder")
    if has_content(path) and not resume:
        raise UserError(
            f"folder={path} is not empty: continue its training with resume=True, "
            "or name another folder"
        )
    with locked(path), resumable("the same call and resume=True"):
        yield path
