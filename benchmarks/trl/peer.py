"""TRL's side, in TRL's environment: ``python -m benchmarks.trl.peer TASK VOCABULARY …``."""

from __future__ import annotations

import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import torch
import trl
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, TrainerCallback
from trl.experimental.gkd import GKDTrainer

from benchmarks.trl.material import (
    BATCH,
    BETAS,
    CLIP,
    COMPLETION,
    EOS,
    LR,
    PAD,
    PROMPT,
    Answers,
    Sizes,
    make_lengths,
    make_model,
    make_tokens,
    run,
)


def losses(answers: Answers, sizes: Sizes) -> None:
    """``generalized_jsd_loss`` for each β on the batch of ``benchmarks.trl.ours.losses``."""
    prompts, completions = (make_tokens(sizes, BATCH, PROMPT, seed) for seed in (0, 1))
    lengths = zip(make_lengths(BATCH, PROMPT), make_lengths(BATCH, COMPLETION)[::-1], strict=True)
    width = PROMPT + COMPLETION
    tokens = torch.full((BATCH, width), PAD)  # prompts padded left, completions right
    present, labels = torch.zeros_like(tokens), torch.full_like(tokens, -100)
    for row, (prompt, completion) in enumerate(lengths):
        start, end = PROMPT - prompt, PROMPT + completion
        tokens[row, start:PROMPT] = prompts[row, :prompt]
        tokens[row, PROMPT:end] = labels[row, PROMPT:end] = completions[row, :completion]
        present[row, start:end] = 1
    with torch.no_grad():
        student, teacher = (
            make_model(sizes, name, sharpness=10)(tokens, attention_mask=present).logits[:, :-1]
            for name in ("student", "teacher")
        )
        for beta in BETAS.values():
            answers.wait()
            loss = GKDTrainer.generalized_jsd_loss(student, teacher, labels[:, 1:], beta)
            answers.give(loss.item())


def steps(answers: Answers, sizes: Sizes, precision: str, checkpointing: bool, count: int) -> None:
    """Train for ``count`` steps; answer with the seconds of each and its parts."""
    words = [f"<{index}>" for index in range(sizes.vocabulary)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, words[PAD]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokens = make_tokens(sizes, BATCH * count, PROMPT, seed=0).tolist()
    prompts = [" ".join(words[token] for token in prompt) for prompt in tokens]
    student, teacher = (make_model(sizes, name) for name in ("student", "teacher"))
    with TemporaryDirectory() as folder:
        trainer = trl.DistillationTrainer(
            model=student,
            teacher_model=teacher,
            args=trl.DistillationConfig(
                folder,
                per_device_train_batch_size=BATCH,
                max_steps=count,
                max_completion_length=COMPLETION,
                generation_kwargs={"min_new_tokens": COMPLETION},
                beta=1.0,
                learning_rate=LR,
                lr_scheduler_type="constant",
                max_grad_norm=CLIP,
                bf16=precision == "bf16",
                gradient_checkpointing=checkpointing,
                use_cpu=True,
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_dict({"prompt": prompts}),
            processing_class=PreTrainedTokenizerFast(
                tokenizer_object=tokenizer,
                pad_token=words[PAD],
                eos_token=words[EOS],
                padding_side="left",
            ),
        )
        trainer.add_callback(Turns(answers, trainer))
        trainer.train()


class Turns(TrainerCallback):
    """Wait before each step, and answer after it with its seconds by phase."""

    def __init__(self, answers: Answers, trainer: Any) -> None:
        self.answers, self.seconds = answers, dict[str, float]()
        trainer._generate_and_score_completions = self.timed(
            "generation", trainer._generate_and_score_completions
        )
        teacher = trainer.teacher_model.base_model
        teacher.forward = self.timed("teacher", teacher.forward)

    def timed(self, phase: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """``call``, with its seconds counted as ``phase``."""

        def timed_call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            output = call(*args, **kwargs)
            self.seconds[phase] = time.perf_counter() - start
            return output

        return timed_call

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Wait for the turn."""
        self.answers.wait()
        self.seconds.clear()
        self.start, self.cpu = time.perf_counter(), time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """End the turn."""
        total, cpu = time.perf_counter() - self.start, time.process_time() - self.cpu
        gradient = total - sum(self.seconds.values())
        self.answers.give({"step": total, "cpu": cpu, **self.seconds, "gradient": gradient})


if __name__ == "__main__":
    run(("trl", "transformers", "torch"), losses, steps)
