"""One sentence step by step: its values are those of both policies."""

from __future__ import annotations

import pytest
import torch

from agents.generation.decoding import greedy
from support.sentences import INDEX, steps_of, untrained_student
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task
from textgen_env.types import Batch


def test_every_value_is_that_of_the_policies(task: Task):
    student = untrained_student(task)
    sentence = steps_of(student, task)
    source = torch.from_numpy(task.splits["test"].source[INDEX])[None]
    output = greedy(student, source, task.horizon)
    batch = Batch(torch.tensor([INDEX]), source, output.action, output.length, limit=output.length)
    with torch.no_grad():
        student_probs = student(source, batch.prefix)[0].softmax(-1)  # [T, V]
    teacher_probs = task.oracle().log_probs(source, batch.prefix)[0].exp()  # [T, V]
    tokens, names = output.action[0].tolist(), task.vocabulary.tokens
    assert len(sentence.steps) == int(output.length)
    for t, (token, step) in enumerate(zip(tokens, sentence.steps, strict=True)):
        assert step.token == names[token]
        assert step.diverges == (teacher_probs[t].argmax() != token)
        for side, probs in ((step.teacher, teacher_probs[t]), (step.student, student_probs[t])):
            assert side.probability == pytest.approx(probs[token].item(), abs=1e-6)
            assert side.rank == 1 + int((probs > probs[token]).sum())
            best = [choice.probability for choice in side.best]
            assert best == pytest.approx(probs.topk(5).values.tolist(), abs=1e-6)
        top = student_probs[t].topk(5).indices.tolist()
        assert [choice.token for choice in step.student.best] == [names[token] for token in top]
    assert "".join(step.piece for step in sentence.steps).removesuffix(" </s>") == sentence.student
    assert sentence.teacher == sentence.source == sentence.reference  # the exact expert copies
    assert any(step.diverges for step in sentence.steps)


@pytest.mark.parametrize(
    ("split", "index", "message"),
    [
        ("test", 20, "sentence=20: test has sentences 0 to 19"),
        ("tests", 0, "unknown split 'tests'; did you mean 'test'"),
    ],
)
def test_a_missing_sentence_raises(task: Task, split: str, index: int, message: str):
    with pytest.raises(UserError, match=message):
        steps_of(untrained_student(task), task, split, index)
