"""What the policies cost beside what a user would write instead: ratios, the contenders taking turns in one process.

``python experiments/bench.py`` runs every section, in a few minutes on two cores;
``python experiments/bench.py train decode --json bench.json`` runs two and keeps the figures.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from agents.decoding import beam, greedy
from agents.fast import precision, resolve_precision, tune_allocator
from agents.losses import nll
from agents.policies.transformer import Transformer
from agents.policy import Policy
from agents.rollout import acting, roll_out
from textgen_env.errors import unknown
from textgen_env.types import EOS, PAD, Batch

V, WIDTH, HEADS, DROPOUT = 8000, 256, 4, 0.1
SIZES = {"2+2": (2, 768), "8+8": (8, 1024)}  # layers each side, ffn: the paper's student and teacher
DEVICE = "cpu"
Work = Callable[[], Any]


class Row(NamedTuple):
    """One line of the table: median and extremes over the rounds."""

    section: str
    what: str
    median: float
    low: float
    high: float
    unit: str


class Plain(nn.Module):
    """nn.Transformer with embeddings, sinusoids and tied output: the same network as any user would write it."""

    def __init__(self, layers: int, ffn: int) -> None:
        super().__init__()
        self.source, self.target, self.dropout = nn.Embedding(V, WIDTH), nn.Embedding(V, WIDTH), nn.Dropout(DROPOUT)
        self.core = nn.Transformer(WIDTH, HEADS, layers, layers, ffn, DROPOUT, batch_first=True, norm_first=True)
        angle = torch.arange(512)[:, None] * torch.exp(torch.arange(0, WIDTH, 2) * (-math.log(10_000) / WIDTH))
        self.places = nn.Parameter(torch.cat([angle.sin(), angle.cos()], 1), requires_grad=False)
        for table in (self.source, self.target):
            nn.init.normal_(table.weight, 0, WIDTH**-0.5)

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor) -> Tensor:
        absent, future = source == PAD, nn.Transformer.generate_square_subsequent_mask(prefix.shape[1])
        read, write = self.embed(self.source, source), self.embed(self.target, prefix)
        padding = {"src_key_padding_mask": absent, "memory_key_padding_mask": absent}
        hidden = self.core(read, write, tgt_mask=future, tgt_is_causal=True, **padding)
        return F.linear(hidden[mask], self.target.weight)

    def embed(self, table: nn.Embedding, token: Tensor) -> Tensor:
        return self.dropout(table(token) * WIDTH**0.5 + self.places[: token.shape[1]])


def transformer(layers: int, ffn: int) -> Any:
    """Random weights; EOS has no embedding, so that greedy decoding always runs to its limit."""
    generator = torch.Generator().manual_seed(0)
    policy = Transformer(V, layers, width=WIDTH, heads=HEADS, ffn=ffn, dropout=DROPOUT, generator=generator)
    with torch.no_grad():
        policy.target_embedding[EOS] = 0
    return policy


def batches(count: int, tokens: int, length: int = 24) -> list[Batch]:
    """Buckets of similar length as textgen_env.batching makes them: sides of ``length`` - 6 to ``length``, padded to it."""
    generator, found = torch.Generator().manual_seed(0), []
    for _ in range(count):
        rows = tokens // length
        sides, sizes = [], []
        for _ in range(2):
            size = torch.randint(length - 6, length + 1, (rows, 1), generator=generator)
            side = torch.randint(4, V, (rows, length), generator=generator)
            sides.append(side.masked_fill(torch.arange(length) >= size, PAD).scatter(1, size - 1, EOS))
            sizes.append(size.squeeze(1))
        found.append(Batch(torch.arange(rows), sides[0], sides[1], sizes[1]))
    return found


def trainer(model: nn.Module, amp: str, fused: bool) -> Callable[[Batch], None]:
    """One optimiser step on a batch."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, fused=fused or None)
    model.train()

    def step(batch: Batch) -> None:
        mask = batch.mask
        with precision(amp, DEVICE):
            loss = nll(model(batch.source, batch.prefix, mask), batch.target[mask])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def each(step: Callable[[Batch], None], work: list[Batch]) -> None:
    """A step on every batch."""
    for batch in work:
        step(batch)


def seconds(work: Work) -> float:
    """Wall-clock of one call; with one thread the processor's own time, which a busy machine disturbs less."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    work()
    return clock() - began


def alternate(rounds: int, works: dict[str, Work]) -> dict[str, list[float]]:
    """Seconds of every contender in every round, in turn, after one call that does not count."""
    for work in works.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(seconds(work))
    return taken


def row(section: str, what: str, values: list[float], unit: str) -> Row:
    """A line from one value a round."""
    return Row(section, what, statistics.median(values), min(values), max(values), unit)


def ratio(over: list[float], under: list[float]) -> list[float]:
    """Round by round, so that what slows the machine for a while slows both."""
    return [a / b for a, b in zip(over, under, strict=True)]


def matmul_rate(amp: str) -> float:
    """FLOP/s of a 2048³ product: what the machine gives at best."""
    matrix = torch.ones(2048, 2048, dtype=torch.bfloat16 if amp == "bf16" else torch.float32)
    return 2 * 2048**3 / min(seconds(lambda: matrix @ matrix) for _ in range(6))


def train(rounds: int, tokens: int, auto: str) -> list[Row]:
    """Forward, loss, backward and Adam on the same batches."""
    found, work = [], batches(2, tokens)
    count = sum(batch.tokens for batch in work)
    for size, (layers, ffn) in SIZES.items():
        steps = {
            "plain": trainer(Plain(layers, ffn), "float32", fused=False),
            "float32": trainer(transformer(layers, ffn), "float32", fused=True),
            auto: trainer(transformer(layers, ffn), auto, fused=True),
        }
        with FlopCounterMode(display=False) as counter:
            steps["float32"](work[0])
        taken = alternate(rounds, {name: partial(each, step, work) for name, step in steps.items()})
        found.append(row("train", f"{size} nn.Transformer float32", [count / s for s in taken["plain"]], "tokens/s"))
        for amp in dict.fromkeys(("float32", auto)):
            rate = counter.get_total_flops() * len(work) / matmul_rate(amp)
            found += [
                row("train", f"{size} ours {amp}", [count / s for s in taken[amp]], "tokens/s"),
                row("train", f"{size} ours {amp} / nn.Transformer float32", ratio(taken["plain"], taken[amp]), "x"),
                row("train", f"{size} ours {amp}, share of the {amp} product rate", [100 * rate / s for s in taken[amp]], "%"),
            ]
    return found


def decode(rounds: int, tokens: int, auto: str) -> list[Row]:
    """Greedy and beam decoding of the 2+2 and 8+8 policies, 24 steps, at batch 1 and 64."""
    found, steps = [], 24
    for size, (layers, ffn) in SIZES.items():
        policy = transformer(layers, ffn)
        for rows in (1, 64):
            source = batches(1, 24 * rows)[0].source
            works: dict[str, Work] = {
                f"{kind}, batch {rows}, {amp}": partial(write, policy, source, amp, decoder, steps)
                for kind, decoder in (("greedy", greedy), ("beam 5", beam))
                for amp in dict.fromkeys(("float32", auto))
            }
            for what, times in alternate(rounds, works).items():
                found.append(row("decode", f"{size} {what}", [rows * steps / s for s in times], "tokens/s"))
    return found


def write(policy: Policy, source: Tensor, amp: str, decoder: Callable[..., Any], steps: int) -> None:
    """Decode ``steps`` tokens a row."""
    with acting(policy), precision(amp, DEVICE):
        decoder(policy, source, steps)


def length(rounds: int, tokens: int, auto: str) -> list[Row]:
    """How greedy decoding grows with what is written: slope 1 is linear, 2 what decoding without a cache costs."""
    policy, source, lengths = transformer(*SIZES["2+2"]), batches(1, 24 * 64)[0].source, (16, 32, 64, 128, 256)
    taken = alternate(rounds, {str(steps): partial(write, policy, source, auto, greedy, steps) for steps in lengths})
    x = [math.log(steps) for steps in lengths]
    a_round = [[math.log(s) for s in times] for times in zip(*taken.values(), strict=True)]
    slopes = [statistics.linear_regression(x, y).slope for y in a_round]
    found = [row("length", "log-log slope, 16 to 256 steps", slopes, "")]
    for steps, times in taken.items():
        found.append(row("length", f"{steps} steps, batch 64", [1e3 * s / int(steps) for s in times], "ms/step"))
    return found


def onpolicy(rounds: int, tokens: int, auto: str) -> list[Row]:
    """Every row of a batch replaced by the student's own decode, against the gradient step on that batch."""
    policy, batch, generator = transformer(*SIZES["2+2"]), batches(1, tokens)[0], torch.Generator().manual_seed(0)
    step = trainer(policy, auto, fused=True)

    def roll(top_k: int) -> None:
        with precision(auto, DEVICE):
            roll_out(policy, batch.source, batch.target.shape[1], generator, top_k)

    taken = alternate(rounds, {"step": partial(step, batch), "greedy": partial(roll, 1), "top-5": partial(roll, 5)})
    under = taken.pop("step")
    return [row("onpolicy", f"{kind} roll-in / gradient step", ratio(over, under), "x") for kind, over in taken.items()]


SECTIONS = {section.__name__: section for section in (train, decode, length, onpolicy)}


def main() -> None:
    """Run the chosen sections, print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(SECTIONS)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {names}; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="alternations of the contenders (default 5)")
    parser.add_argument("--tokens", type=int, default=3000, help="target positions in a training batch (default 3000)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads within an operator (default: every core)")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    chosen = parser.parse_args()
    for name in chosen.sections:
        if name not in SECTIONS:
            parser.error(str(unknown("section", name, SECTIONS)))
    torch.set_num_threads(chosen.threads)
    tuned, auto = tune_allocator(), resolve_precision("auto", DEVICE)
    rates = {amp: matmul_rate(amp) / 1e9 for amp in dict.fromkeys(("float32", auto))}
    machine = {
        "processor": torch.cpu.get_capabilities().get("cpu_name", platform.processor()),
        "threads": chosen.threads,
        "allocator_tuned": tuned,
        "gflops": rates,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    print(machine)
    rows: list[Row] = []
    for name in chosen.sections or SECTIONS:
        for line in SECTIONS[name](chosen.rounds, chosen.tokens, auto):
            rows.append(line)
            spread = f"({line.low:.4g} to {line.high:.4g})"
            print(f"{line.section:9} {line.what:50} {line.median:10.4g} {line.unit:9} {spread}", flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": machine, "rows": [line._asdict() for line in rows]}, indent=1))


if __name__ == "__main__":
    main()
