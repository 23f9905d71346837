"""A teacher with another tokenizer sees a conversation in its own chat template."""

from __future__ import annotations

import torch

from agents.runs.oracles import teacher_prompts
from support.chats import chats, write_rows
from textgen_env.data.chat_template import ChatTemplate
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.oracles.texts import ReencodingOracle
from textgen_env.tasks import chat
from textgen_env.types import Trajectories

TEMPLATE = ChatTemplate("{% for message in messages %}Q {{ message.content }} A{% endfor %}")


def echo(source, limit):
    """Each source as output."""
    length = (source != 0).sum(1)
    return Trajectories(source, length, length.float())


def test_prompts_are_rendered_with_the_template_of_the_teacher(tmp_path):
    data = write_rows(tmp_path / "chats.jsonl", chats(20))
    task = chat.load(data=str(data), vocabulary=60)
    texts = ["Q A the cat sees ? 0 1 2 3 4 5 6 7 8 9"] * 3
    vocabulary = Vocabulary.train(texts, 60)
    sources = teacher_prompts(task, None, vocabulary, TEMPLATE)
    oracle = ReencodingOracle(None, echo, vocabulary, task.vocabulary, "hf:chat", sources)
    split = task.splits["test"]
    for source, text in zip(split.source, split.texts.sources, strict=True):
        number = text.split("cat ")[1].split()[0]
        output = oracle.reencoded(echo).texts(torch.from_numpy(source)[None], 200)
        assert output == [f"Q the cat {number} sees 0 ? A"]
