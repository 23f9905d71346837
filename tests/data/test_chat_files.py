"""Conversations in files: every form that is read, and a refusal in one line for every other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.chats import CONTEXT, chats, conversation, exchange, write_rows
from support.corpora import error_message
from support.tables import save_table
from textgen_env.data.chat import ChatColumns, Conversation, every_turn
from textgen_env.data.corpus import Corpus
from textgen_env.data.hub import HubDataset, load_hub
from textgen_env.data.local import read_local
from textgen_env.errors import UserError
from textgen_env.metrics.scores import corpus_score
from textgen_env.tasks import chat

USER, ANSWER = exchange("the cat ?", "the dog .")
GOOD = {"messages": [USER, ANSWER]}


def read(path: Path) -> Corpus:
    return read_local(path, ChatColumns())


def pairs(row: dict[str, Any], tmp_path: Path) -> tuple[Conversation, tuple[str, ...]]:
    """What is read of a row."""
    source, references = ChatColumns().texts(json.loads(json.dumps(row)), "here")
    return Conversation.from_text(source), references


@pytest.mark.parametrize(
    ("row", "context", "references"),
    [
        (GOOD, [USER], ("the dog .",)),
        ({"messages": [*CONTEXT, USER, ANSWER]}, [*CONTEXT, USER], ("the dog .",)),
        (
            {"messages": [USER, ANSWER, USER, {"role": "assistant", "content": " a\n b "}]},
            [USER, ANSWER, USER],
            (" a\n b ",),  # unchanged: white space has a meaning in a chat
        ),
        ({"prompt": "the cat ?", "completion": "the dog ."}, [USER], ("the dog .",)),
        ({"prompt": [USER], "completion": [ANSWER]}, [USER], ("the dog .",)),
        ({"prompt": [*CONTEXT, USER], "completion": "x"}, [*CONTEXT, USER], ("x",)),
        ({"prompt": "the cat ?", "completion": ["a", "b\n"]}, [USER], ("a", "b\n")),
        ({"prompt": [USER], "completion": ["a"]}, [USER], ("a",)),
        ({"prompt": "the cat ?"}, [USER], ()),
        ({"prompt": [*CONTEXT, USER]}, [*CONTEXT, USER], ()),
        ({"messages": [USER, ANSWER], "prompt": "the cat ?", "id": 3}, [USER], ("the dog .",)),
        ({"messages": None, "prompt": "the cat ?", "completion": None}, [USER], ()),
        (  # as datasets fill up structs
            {"messages": [USER | {"tool_calls": None}, ANSWER | {"tool_calls": []}]},
            [USER],
            ("the dog .",),
        ),
    ],
)
def test_every_form_of_a_row(row, context, references, tmp_path):
    assert pairs(row, tmp_path) == (Conversation(context), references)


def changed(**fields: Any) -> dict[str, Any]:
    return {"messages": [USER | fields, ANSWER]}


MALFORMED: dict[str, tuple[Any, str]] = {
    "no column": ({"mesages": []}, "no column messages or prompt; did you mean mesages?"),
    "completion alone": ({"completion": "a"}, "no column messages or prompt"),
    "no list": ({"messages": "hi"}, "messages: expected a list of messages, got str"),
    "empty list": ({"messages": []}, "messages: expected a list of messages, got an empty list"),
    "no object": ({"messages": [USER, 3]}, 'messages, message 2: expected {"role": …'),
    "no role": ({"messages": [{"content": "a"}]}, 'message 1: expected {"role": …'),
    "other keys": ({"messages": [{"from": "human", "value": "a"}]}, "message 1: expected"),
    "unknown role": (changed(role="humam"), "message 1: unknown role 'humam' (valid: system, "),
    "role of another type": (changed(role=[1]), "message 1: unknown role '[1]'"),
    "tool": (changed(role="tool"), "message 1: unknown role 'tool'"),
    "content is a list": (
        changed(content=[{"type": "text", "text": "a"}]),
        "message 1: content must be a string, got [{'type'",
    ),
    "content is null": (changed(content=None), "message 1: content must be a string, got None"),
    "empty content": (changed(content=" \n\u200b"), "message 1: content is empty"),
    "half a character": (changed(content="a\ud800"), "message 1: content has an unpaired surr"),
    "tool calls": (changed(tool_calls=[{"id": 1}]), "message 1: tool_calls is not read"),
    "no assistant turn": ({"messages": [USER]}, "no assistant turn; end with the assistant's"),
    "user at the end": ({"messages": [USER, ANSWER, USER]}, "its last message is the user's; end"),
    "assistant alone": ({"messages": [ANSWER]}, "no message of the user before the last assist"),
    "two answers": ({"messages": [USER, ANSWER, ANSWER]}, "no message of the user before the"),
    "prompt of another type": ({"prompt": 3}, "prompt: expected a list of messages, got int"),
    "empty prompt": ({"prompt": " "}, "prompt, message 1: content is empty"),
    "answer as prompt": ({"prompt": [USER, ANSWER]}, "prompt: its last message is the assistant's"),
    "empty completion": ({"prompt": "a", "completion": ""}, "completion, message 1: content is em"),
    "one empty completion": ({"prompt": "a", "completion": ["b", " "]}, "completion, message 1: "),
    "no completion": ({"prompt": "a", "completion": []}, "completion: expected a list of messages"),
    "text and message": ({"prompt": "a", "completion": ["b", ANSWER]}, "completion, message 1: ex"),
    "user as completion": ({"prompt": "a", "completion": [USER]}, "no assistant turn"),
    "long": (changed(content="a" * 100_001), "conversation of 100,010 characters, at most 100,000"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_row_is_refused_with_its_file_and_line(name, tmp_path):
    row, message = MALFORMED[name]
    path = write_rows(tmp_path / "chat.jsonl", [GOOD, row])
    error = error_message(read, path)
    assert error.startswith(f"{path}:2: ")
    assert message in error


def test_rows_with_and_without_an_answer_are_not_mixed(tmp_path):
    path = write_rows(tmp_path / "chat.jsonl", [GOOD, {"prompt": "a"}])
    assert "chat.jsonl:2: 0 references, but 1 in the rows before" in error_message(read, path)


def test_several_completions_are_references_and_the_first_is_learned(tmp_path):
    rows = [{"prompt": f"the cat {i} ?", "completion": ["the dog .", "a man ."]} for i in range(30)]
    path = str(write_rows(tmp_path / "chat.jsonl", rows))
    task = chat.load(data=path, vocabulary=60)
    test = task.splits["test"]
    assert set(test.texts.references) == {("the dog .", "a man .")}
    assert {task.vocabulary.decode(row) for row in test.target} == {"the dog ."}
    texts = ["a man ."] * len(test)
    assert corpus_score("rouge", texts, test.texts.references)["rouge1"].value == 100
    with pytest.raises(UserError, match=r"env\.turns=every: rows have several completions"):
        chat.load(data=path, vocabulary=60, turns="every")


def test_rows_have_the_same_number_of_completions(tmp_path):
    rows = [{"prompt": "a", "completion": completion} for completion in (["b", "c"], "b")]
    path = write_rows(tmp_path / "chat.jsonl", rows)
    assert "chat.jsonl:2: 1 references, but 2 in the rows before" in error_message(read, path)


def test_the_header_of_a_table_without_conversations_is_refused(tmp_path):
    path = save_table(tmp_path / "chat.csv", [{"question": "a", "completion": "b"}])
    error = error_message(read, path)
    assert "chat.csv:1: no column messages or prompt" in error
    assert "env.source" not in error


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".json", ".parquet"])
def test_formats_with_lists(suffix, tmp_path):
    corpus = read(save_table(tmp_path / f"chat{suffix}", chats()))
    assert corpus.splits == read(write_rows(tmp_path / "twin.jsonl", chats())).splits
    assert corpus.sizes == {"train": 24, "valid": 3, "test": 3}


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_prompts_and_completions_in_columns(suffix, tmp_path):
    rows = [{"prompt": f"the cat {i} ?", "completion": "the dog ."} for i in range(20)]
    corpus = read(save_table(tmp_path / f"chat{suffix}", rows))
    assert corpus.splits == read(write_rows(tmp_path / "twin.jsonl", rows)).splits


def test_a_saved_dataset(tmp_path):
    datasets = pytest.importorskip("datasets", reason="the hub extra is not installed")
    datasets.Dataset.from_list(chats()).save_to_disk(str(tmp_path / "saved"))
    expected = read(write_rows(tmp_path / "twin.jsonl", chats()))
    assert read(tmp_path / "saved").splits == expected.splits


def test_a_folder_in_the_layout_of_the_hub(tmp_path):
    prompts = [{"prompt": f"the cat {i} ?"} for i in range(3)]
    for split, rows in (("train", chats(4)), ("validation", chats(2)), ("test", prompts)):
        write_rows(tmp_path / f"{split}.jsonl", rows)
    for _ in range(2):  # the second time from the cache
        corpus = load_hub(HubDataset("chat", str(tmp_path), ChatColumns()))
        assert corpus.sizes == {"train": 4, "valid": 2, "test": 3}
        assert corpus.splits["test"].references == [()] * 3


def test_a_folder_of_parallel_files_is_no_chat(tmp_path):
    for name in ("train.de", "train.en"):
        (tmp_path / name).write_text("a\n")
    assert "no train.jsonl" in error_message(read, tmp_path)


def test_every_turn_is_an_episode_and_a_conversation_stays_in_one_split(tmp_path):
    corpus = read(write_rows(tmp_path / "chat.jsonl", chats(30, turns=3))).with_pairs(every_turn)
    assert corpus.sizes == {"train": 72, "valid": 9, "test": 9}
    first = {
        name: {Conversation.from_text(text).messages[0]["content"] for text in rows.sources}
        for name, rows in corpus.splits.items()
    }
    assert not first["train"] & first["valid"]
    assert not first["train"] & first["test"]
    rows = corpus.splits["test"]
    for source, (answer,) in zip(rows.sources, rows.references, strict=True):
        messages = Conversation.from_text(source).messages
        number = int(messages[0]["content"].split()[2])
        whole = conversation(number, 3)
        assert whole[: len(messages)] == messages
        assert whole[len(messages)] == {"role": "assistant", "content": answer}


def test_the_teachers_prompt_is_a_part_of_the_source():
    columns = ChatColumns(teacher_prompt="hint")
    source, _ = columns.texts(GOOD | {"hint": "psst: the cat ?"}, "here")
    conversation_of_both = Conversation.from_text(source)
    assert conversation_of_both.messages == [USER]
    assert conversation_of_both.teacher_prompt == [{"role": "user", "content": "psst: the cat ?"}]
    assert "no column hint, which teacher.prompt_field names" in error_message(
        columns.texts, GOOD, "here"
    )


@pytest.mark.parametrize("text", ["hi", "[1, 2]", '{"a": 1}', "{", "[{}]", '[{"a": 1}]'])
def test_other_text_is_a_message_of_the_user(text):
    assert Conversation.from_text(text).messages == [{"role": "user", "content": text}]
