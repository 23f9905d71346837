"""The folder ``model`` of a run whose student is a Hugging Face model: what transformers opens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agents.model import PRETRAINED
from agents.policies.adapters import adapter_config
from agents.policies.pretrained import PretrainedPolicy
from agents.runs.run import Run
from textgen_env.data.files import write_atomically

CARD = """---
{metadata}
---

# {task} by {algorithm}

A {kind} model of {parameters:,} parameters, trained by `{algorithm}`.

- Data: {data}; {train:,} training pairs
- Teacher: {teacher}
- Started from: {start}
- Steps: {steps:,}, the best validation after {best_step:,}
{adapter}
| {metric} on the test split | value |
| --- | --- |
{scores}

## Use

```python
{imports}

model = {auto_class}.from_pretrained("this folder")
tokenizer = AutoTokenizer.from_pretrained("this folder")
inputs = {inputs}
output = model.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens={horizon})
print(tokenizer.decode({generated}, skip_special_tokens=True))
```

## Train again

```sh
{command}
```
"""
CHAT_INPUTS = """tokenizer.apply_chat_template(
    [{"role": "user", "content": text}],
    add_generation_prompt=True, return_dict=True, return_tensors="pt",
)"""


ADAPTER = """\
- An adapter (LoRA, rank {rank}) of {targets} of the base model in `base`. If the folder was moved:
  `PeftModel.from_pretrained({auto_class}.from_pretrained("this folder/base"), "this folder")`
"""


def save_config(folder: Path, student: Any) -> None:
    """Save what the student is rebuilt from, before its training; nothing for other students."""
    if isinstance(student, PretrainedPolicy):
        student.save_files(folder / PRETRAINED)


def save_model(run: Run, results: dict[str, Any], command: str) -> None:
    """Save the trained weights and a model card; nothing for other students.

    Args:
        run: its student has the weights to save.
        results: those of the evaluation, for the card.
        command: what was called.
    """
    if not isinstance(run.student, PretrainedPolicy):
        return
    folder = run.folder / PRETRAINED
    run.student.save_weights(folder)
    write_atomically(folder / "README.md", model_card(run, results, command).encode())


def model_card(run: Run, results: dict[str, Any], command: str) -> str:
    """The README.md of the model: data, teacher, algorithm, scores and command."""
    student, settings = run.student, run.config.student
    corpus, teacher, scores = results["corpus"], results["teacher"], results["scores"]
    metric = next(iter(scores["student"]))
    causal = not student.has_encoder
    tags = ["distillation", "imitation-learning", run.config.algorithm.name]
    metadata = {"library_name": "transformers", "tags": tags}
    metadata["pipeline_tag"] = "text-generation" if causal else "text2text-generation"
    auto_class, adapter = f"AutoModelFor{'CausalLM' if causal else 'Seq2SeqLM'}", ""
    imports = f"from transformers import {auto_class}, AutoTokenizer"
    if lora := adapter_config(student):
        metadata["library_name"] = "peft"
        metadata |= {"base_model": student.origin} if student.origin else {}
        targets = ", ".join(sorted(lora.target_modules))
        adapter = ADAPTER.format(rank=lora.r, targets=targets, auto_class=auto_class)
        auto_class = auto_class.replace("Auto", "AutoPeft")
        imports = f"from peft import {auto_class}\nfrom transformers import AutoTokenizer"
    start = settings.path or f"the student of {run.config.init}"
    prefix, separator = (
        json.dumps(text, ensure_ascii=False) if text else ""
        for text in (settings.source_prefix, settings.separator)
    )
    parts = [prefix, "text", (separator or "tokenizer.eos_token") if causal else ""]
    prompt = " + ".join(filter(None, parts))
    return CARD.format(
        metadata="\n".join(f"{key}: {json.dumps(value)}" for key, value in metadata.items()),
        task=run.task.id,
        algorithm=run.config.algorithm.name,
        kind=student.model.config.model_type,
        parameters=results["student"]["parameters"],
        data=f"{corpus['name']} ({corpus['source']}, fingerprint {corpus['fingerprint']})",
        train=len(run.task.splits["train"]),
        teacher=f"{teacher['path'] or ''} ({teacher['architecture']})".strip(),
        start=f"{start} ({settings.init})",
        steps=results["training"]["steps"],
        best_step=results["training"]["best_step"],
        metric=metric,
        scores="\n".join(f"| {who} | {entry[metric]:.2f} |" for who, entry in scores.items()),
        adapter=adapter,
        imports=imports,
        auto_class=auto_class,
        horizon=run.task.horizon,
        generated='output[0, inputs["input_ids"].shape[1] :]' if causal else "output[0]",
        inputs=CHAT_INPUTS if student.template else f'tokenizer({prompt}, return_tensors="pt")',
        command=command,
    )
