"""The oracles of a run's teacher: a policy, recorded outputs, and a stand-in for settings."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from agents.generation.beam import beam_search
from agents.generation.demonstrations import BEAM
from agents.model import VOCABULARY
from agents.policies.tokenizer import PretrainedTokenizer, load_tokenizer
from agents.runs.config import chosen
from agents.runs.folder import finished_run
from agents.runs.recorded import RecordedOracle
from agents.runs.task import STUDENT, chat_template, pretrained_name, recorded_name
from agents.text import TextSettings
from textgen_env.data.chat import Conversation
from textgen_env.data.chat_template import ChatTemplate
from textgen_env.data.limit import MAX_LENGTH
from textgen_env.data.vocabulary import Vocabulary, difference
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.oracles.references import source_key
from textgen_env.oracles.texts import ReencodingOracle, TextOracle
from textgen_env.tasks.task import Task, expert
from textgen_env.types import Oracle


def policy_oracle(
    policy: Any,
    vocabulary: Vocabulary,
    task: Task,
    length_penalty: float,
    name: str = "",
) -> PolicyOracle | ReencodingOracle:
    """The policy as an oracle; one with another vocabulary than the task's exchanges texts.

    Args:
        policy: the teacher.
        vocabulary: the teacher's.
        task: has the student's vocabulary.
        length_penalty: of the beam search that generates demonstrations.
        name: the teacher's, for messages.
    """
    search = partial(beam_search, width=BEAM, length_penalty=length_penalty)
    if vocabulary.fingerprint == task.vocabulary.fingerprint:
        return PolicyOracle(policy, search, vocabulary, task.vocabulary)
    decode, vocabularies = partial(search, policy), (vocabulary, task.vocabulary)
    template = getattr(policy, "template", None) or task.template
    sources = teacher_prompts(task, policy, vocabulary, template) if template else None
    return ReencodingOracle(policy, decode, *vocabularies, name, sources)


def teacher_tokenizer(model: str, config: DictConfig, task: Task) -> PretrainedTokenizer:
    """The tokenizer of a pretrained teacher.

    In a task of conversations it has the template of the task if its tokens are the student's, else
    its own. A chat model and its base model have the same tokens, but for the name of EOS.
    """
    tokenizer = load_tokenizer(model, task.template).aligned_with(task.vocabulary)
    if not task.template or tokenizer.vocabulary.fingerprint == task.vocabulary.fingerprint:
        return tokenizer
    return load_tokenizer(model, chat_template(chosen(config.env)[1]))


def teacher_prompts(
    task: Task, policy: Any, vocabulary: Vocabulary, template: ChatTemplate
) -> dict[bytes, list[int]]:
    """The prompts of all splits in the teacher's tokens, by those in the student's.

    Args:
        task: a task of conversations.
        policy: the teacher; longer prompts than it takes lose their oldest turns.
        vocabulary: the teacher's.
        template: the teacher's.
    """
    fit = getattr(policy, "fit", None)
    source_limit = min(MAX_LENGTH, fit(task.horizon)[0]) if fit else MAX_LENGTH
    settings = TextSettings.from_task(task)._replace(source_limit=source_limit, template=template)
    sources: dict[bytes, list[int]] = {}
    for split in task.splits.values():
        texts = [Conversation.from_text(text).to_teacher_text() for text in split.texts.sources]
        encoded = settings.encode(texts, vocabulary).rows
        for student, teacher in zip(split.source, encoded, strict=True):
            sources.setdefault(source_key(student), teacher[:-1].tolist())
    return sources


def saved_vocabulary(folder: Path, task: Task) -> Vocabulary:
    """The vocabulary of the teacher in ``folder``; that of the task if there is none."""
    path = folder / VOCABULARY
    return Vocabulary.load(path) if path.is_file() else task.vocabulary


def recorded_oracle(path: str, task: Task) -> RecordedOracle:
    """The teacher ``outputs:path``."""
    normalize = str.strip if task.template else TextSettings.from_task(task).normalize
    return RecordedOracle(task, path, normalize)


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
        vocabulary = teacher_tokenizer(model, config, task).vocabulary
    elif config.teacher.path not in (None, STUDENT):  # the student's base model has its tokens
        vocabulary = saved_vocabulary(finished_run(config.teacher.path), task)
    if vocabulary.fingerprint == task.vocabulary.fingerprint:
        return expert(task)
    reason = difference(vocabulary, task.vocabulary, config.teacher.path)
    return TextOracle(len(task.vocabulary), reason)
