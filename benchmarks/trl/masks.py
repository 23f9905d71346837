"""Which tokens of a conversation carry loss: ours beside TRL's ``SFTTrainer``, token by token."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import chain, groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from agents.policies.tokenizer import PretrainedTokenizer, load_tokenizer
from textgen_env import load_task
from textgen_env.data.chat_template import ChatTemplate
from textgen_env.data.scope import scoped
from textgen_env.errors import UserError

ROOT = Path(__file__).parents[2]
# SmolLM2's own template, and files of TRL, which has those of models beside its training templates
TEMPLATES = ("smollm2", "llama3", "qwen2_5", "qwen3", "gemma", "phi3")
WITHOUT_SYSTEM = {"gemma"}

REASONS = """
TRL alone: what the template writes after the end of a turn, which is never generated here, and the
line end before a turn, if TRL's training template marks it. Other prompt: the tokenizer merges the
end of the prompt with the beginning of the turn, which is encoded apart here; or TRL's training
template renders earlier turns in another way than the model's own (Qwen3's empty thoughts)."""

Messages = list[dict[str, str]]
Ids = list[int]


def messages(*contents: str, system: str = "") -> Messages:
    """Messages of user and assistant in turn, after that of the system if there is one."""
    roles = ("user", "assistant") * len(contents)
    first = [{"role": "system", "content": system}] if system else []
    pairs = zip(roles, contents, strict=False)
    return first + [{"role": role, "content": content} for role, content in pairs]


CHATS = [
    messages("Hi", "Hello."),
    messages("What is 2 * 3?", "It is 6.", "And 7 * 8?", "56", "Thanks!", "You're welcome."),
    messages("Translate: a house", "ein Haus", "a tree", "ein Baum", system="Answer in German."),
    messages("Bitte übersetzen 的 🙂", "  def f(x):\n    return x  \n", "ok?", "Yes.\n\nIt is."),
    messages("Begin with an empty line.", "\n\nHere it is."),
]


class Turn(NamedTuple):
    """The tokens before an assistant turn, and those of it that carry loss."""

    prompt: Ids
    learned: Ids


@dataclass
class Comparison:
    """How the turns of two sides compare.

    Attributes:
        both: number of tokens with loss on both sides.
        trl: tokens, as text, with loss in TRL alone.
        ours: those with loss here alone.
        prompts: turns that follow other tokens in TRL.
    """

    both: int = 0
    trl: Counter[str] = field(default_factory=Counter)
    ours: Counter[str] = field(default_factory=Counter)
    prompts: int = 0

    def add(self, theirs: Turn, ours: Turn, tokenizer: Tokenizer) -> None:
        """Add a turn, whose tokens are matched in their order."""
        before = (theirs.prompt + theirs.learned)[: len(ours.prompt)]
        self.prompts += before != ours.prompt
        matcher = SequenceMatcher(None, theirs.learned, ours.learned, autojunk=False)
        for kind, i, j, k, end in matcher.get_opcodes():
            if kind == "equal":
                self.both += j - i
                continue
            for texts, ids in ((self.trl, theirs.learned[i:j]), (self.ours, ours.learned[k:end])):
                texts.update(tokenizer.decode([i], skip_special_tokens=False) for i in ids)


def masks(python: str) -> None:
    """Print the table."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        recipe = runpy.run_path(str(ROOT / "docs" / "recipes" / "smollm2.py"))
        try:
            recipe["read_tokenizer"](recipe["gguf_file"]()).save_pretrained(folder / "tokenizer")
        except UserError as error:
            raise SystemExit(f"error: {error}") from None
        chats = {name: conversations(name) for name in TEMPLATES}
        (folder / "chats.json").write_text(json.dumps(chats), encoding="utf-8")
        command = [python, "-m", "benchmarks.trl.peer_masks", temporary]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        if subprocess.run(command, cwd=ROOT, env=environment).returncode:
            raise SystemExit("error: TRL's side failed, see above")
        version, labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        print(f"\nTRL {version}, SmolLM2's tokenizer with the special tokens of each template\n")
        print("| template, learned | turns | both | TRL alone | ours alone | other prompt |")
        print("|---|---:|---:|---|---|---:|")
        for name, rows in labels.items():
            print(table_row(folder, name, rows))
        print(REASONS)


def conversations(template: str) -> list[Messages]:
    """Those that the template renders."""
    return [c for c in CHATS if c[0]["role"] != "system" or template not in WITHOUT_SYSTEM]


def table_row(folder: Path, name: str, rows: Any) -> str:
    """One row of the table; ``rows`` are TRL's, or its error."""
    if isinstance(rows, str):
        return f"| {name} | refused by TRL: {rows.partition('. ')[0]} |"
    template, _, mode = name.partition(", ")
    tokenizer = load_tokenizer(str(folder / template), ChatTemplate())
    theirs = [learned_turns(tokens, labels) for tokens, labels in rows]
    ours = our_turns(folder, tokenizer, conversations(template), mode == "every turn")
    comparison, pairs = Comparison(), [*zip(chain(*theirs), chain(*ours), strict=True)]
    for pair in pairs:
        comparison.add(*pair, tokenizer.tokenizer)
    alone = [
        ", ".join(f"{text!r} × {count}" for text, count in texts.items()) or "0"
        for texts in (comparison.trl, comparison.ours)
    ]
    cells = name, len(pairs), comparison.both, *alone, comparison.prompts
    return f"| {' | '.join(map(str, cells))} |"


def learned_turns(tokens: Ids, labels: Ids) -> list[Turn]:
    """The turns of a row of TRL: each run of tokens with loss, with all tokens before it."""
    turns = []
    for learned, group in groupby(range(len(tokens)), lambda i: labels[i] != -100):
        places = [*group]
        if learned:
            turns.append(Turn(tokens[: places[0]], [tokens[i] for i in places]))
    return turns


def our_turns(
    folder: Path, tokenizer: PretrainedTokenizer, chats: list[Messages], every: bool
) -> list[list[Turn]]:
    """The turns of each conversation as ``Chat-v0`` encodes them, with the tokenizer's ids."""
    path, others = folder / "chats.jsonl", dict.fromkeys(("valid", "test"), CHATS[:1])
    rows = [
        {"split": split, "messages": chat}
        for split, chats in {"train": chats, **others}.items()
        for chat in chats
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    limits = {"source_limit": 1000, "horizon": 1000}
    with scoped(vocabulary=tokenizer.vocabulary, template=tokenizer.template):
        task = load_task("Chat-v0", data=str(path), turns="every" if every else "last", **limits)
    split = task.splits["train"]
    encoded = (
        Turn(*([tokenizer.ids[token] for token in ids] for ids in (source[:-1], target)))  # no EOS
        for source, target in zip(split.source, split.target, strict=True)
    )
    counts = [sum(m["role"] == "assistant" for m in chat) if every else 1 for chat in chats]
    return [[next(encoded) for _ in range(count)] for count in counts]
