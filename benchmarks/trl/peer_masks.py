"""TRL's side of ``masks``, in TRL's environment: ``python -m benchmarks.trl.peer_masks FOLDER``.

``FOLDER`` has a tokenizer, ``tokenizer``, and ``chats.json``. Into it go a tokenizer for each chat
template and ``labels.json``, what ``SFTTrainer`` learns of each conversation.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trl
from datasets import Dataset, disable_progress_bars
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

SPECIAL = r"<\|\w+\|>|<(?:start|end)_of_turn>"
MODES = {  # which columns the rows have, and the settings of SFTTrainer
    "every turn": ("messages", {"assistant_only_loss": True}),
    "last turn": ("prompt", {}),
    "last turn, assistant alone": ("prompt", {"assistant_only_loss": True}),
}

Messages = list[dict[str, str]]


def save_tokenizer(folder: Path, name: str) -> Any:
    """The tokenizer with the template ``name`` of TRL, if it has it, and its special tokens."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    path = Path(trl.__file__).with_name("chat_templates") / f"{name}.jinja"
    if path.is_file():  # else the tokenizer's own
        tokenizer.chat_template = path.read_text(encoding="utf-8")
        specials = sorted({*re.findall(SPECIAL, tokenizer.chat_template)})
        tokenizer.add_special_tokens({"additional_special_tokens": specials})
    tokenizer.save_pretrained(folder / name)
    model_config(tokenizer).save_pretrained(folder / name)
    return tokenizer


def model_config(tokenizer: Any) -> LlamaConfig:
    """Of the smallest model, as ``SFTTrainer`` needs one."""
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    return LlamaConfig(vocab_size=len(tokenizer), num_attention_heads=1, **sizes)


def labels(tokenizer: Any, chats: list[Messages], columns: str, settings: dict[str, Any]) -> Any:
    """``[tokens, labels]`` of each conversation; a text if TRL refuses them."""
    rows = [
        {"messages": chat}
        if columns == "messages"
        else {"prompt": chat[:-1], "completion": chat[-1:]}
        for chat in chats
    ]
    with TemporaryDirectory() as folder:
        options = {"use_cpu": True, "bf16": False, "report_to": [], "disable_tqdm": True}
        try:
            trainer = trl.SFTTrainer(
                LlamaForCausalLM(model_config(tokenizer)),
                trl.SFTConfig(folder, **options, **settings),
                train_dataset=Dataset.from_list(rows),
                processing_class=tokenizer,
            )
        except ValueError as error:
            return str(error)
        return [[row["input_ids"], row["labels"]] for row in trainer.train_dataset]


def main(folder: Path) -> None:
    """Save the tokenizers and what TRL learns with each of them."""
    disable_progress_bars()
    chats = json.loads((folder / "chats.json").read_text(encoding="utf-8"))
    found = {}
    for name, rows in chats.items():
        tokenizer = save_tokenizer(folder, name)
        for mode, (columns, settings) in MODES.items():
            found[f"{name}, {mode}"] = labels(tokenizer, rows, columns, settings)
    (folder / "labels.json").write_text(json.dumps([trl.__version__, found]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
