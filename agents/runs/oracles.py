"""The oracles of a run's teacher: a policy, recorded outputs, and a stand-in for settings."""

from __future__ import annotations

from functools import partial
from typing import Any

from omegaconf import DictConfig

from agents.generation.beam import beam_search
from agents.generation.demonstrations import BEAM
from agents.model import VOCABULARY
from agents.policies.tokenizer import load_tokenizer
from agents.runs.folder import finished_run
from agents.runs.recorded import RecordedOracle
from agents.runs.task import pretrained_name, recorded_name
from agents.text import TextSettings
from textgen_env.data.vocabulary import Vocabulary, difference
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.oracles.texts import ReencodingOracle, TextOracle
from textgen_env.tasks.task import Task, expert
from textgen_env.types import Oracle


def policy_oracle(
    policy: Any, vocabulary: Vocabulary, student: Vocabulary, length_penalty: float, name: str = ""
) -> PolicyOracle | ReencodingOracle:
    """The policy as an oracle; one with another vocabulary than the student's exchanges texts.

    Args:
        policy: the teacher.
        vocabulary: the teacher's.
        student: the student's.
        length_penalty: of the beam search that generates demonstrations.
        name: the teacher's, for messages.
    """
    search = partial(beam_search, width=BEAM, length_penalty=length_penalty)
    if vocabulary.fingerprint == student.fingerprint:
        return PolicyOracle(policy, search, vocabulary, student)
    return ReencodingOracle(policy, partial(search, policy), vocabulary, student, name)


def recorded_oracle(path: str, task: Task) -> RecordedOracle:
    """The teacher ``outputs:path``."""
    return RecordedOracle(task, path, TextSettings.from_task(task).normalize)


def stand_in(config: DictConfig, task: Task) -> Oracle:
    """An oracle that answers the same kinds of queries as the teacher, without loading a model.

    Raises:
        UserError: The teacher's vocabulary or outputs cannot be read.
    """
    vocabulary = task.vocabulary
    if name := recorded_name(config):
        oracle = recorded_oracle(name, task)
        _ = oracle.outputs  # finds mistakes in the files
        return oracle
    if model := pretrained_name(config):
        vocabulary = load_tokenizer(model).vocabulary
    elif config.teacher.path not in (None, "student"):  # the student's base model has its tokens
        vocabulary = Vocabulary.load(finished_run(config.teacher.path) / VOCABULARY)
    if vocabulary.fingerprint == task.vocabulary.fingerprint:
        return expert(task)
    reason = difference(vocabulary, task.vocabulary, config.teacher.path)
    return TextOracle(len(task.vocabulary), reason)
