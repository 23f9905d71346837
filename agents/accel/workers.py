"""A decode split over single-thread processes: no core waits for another inside small matmuls.

Workers are forked, so that they have the policy; its weights move to memory that they share, so that
these are always as they are now. Only sources go to them and only outputs come back.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from mmap import mmap
from multiprocessing.connection import Connection
from typing import Any
from weakref import WeakKeyDictionary, finalize

import numpy as np
import torch
from torch import Tensor, nn

from agents.training.signals import SIGNALS
from textgen_env.types import PAD, Trajectories

Decode = Callable[..., Trajectories]  # (policy, most, **rows, **settings), at a module's top level
ROWS = 32  # the least that a worker gets: with fewer, its matmuls are as slow as those of several threads
WORK = 5e8  # rows · steps · weights from which the messages are worth their time

_lock = threading.Lock()
_most: int | None = None
_teams: WeakKeyDictionary[nn.Module, Team] = WeakKeyDictionary()


def limit(count: int | None) -> None:
    """At most ``count`` workers from now on; None: as many as torch has threads."""
    global _most
    _most = count


def most_workers() -> int:
    """Over how many processes a decode may be split: 1 in a worker, and on other systems than Linux."""
    if sys.platform != "linux" or multiprocessing.current_process().daemon:
        return 1
    return torch.get_num_threads() if _most is None else _most


def decode_in_workers(
    decode: Decode, policy: Any, most: int, rows: dict[str, Tensor], **settings: Any
) -> Trajectories:
    """``decode(policy, most, **rows, **settings)``, by several workers in equal shares where that pays.

    Args:
        decode: A function at a module's top level.
        policy: A module's steps do nothing but what they return; what is none, such as a mixture that
            counts its queries, stays in this process.
        most: Steps.
        rows: Tensors ``[B, …]``, source among them.
        **settings: Of ``decode``; ``width``: hypotheses of each row.
    """
    batch, hypotheses = len(rows["source"]), len(rows["source"]) * settings.get("width", 1)
    count = min(most_workers(), batch, hypotheses // ROWS)
    if (
        count < 2
        or not _can_share(policy)
        or hypotheses * most * sum(map(Tensor.numel, policy.parameters())) < WORK
    ):
        return decode(policy, most, **rows, **settings)
    shares = [
        {name: value.tensor_split(count)[i] for name, value in rows.items()} for i in range(count)
    ]
    own, *others = [partial(decode, most=most, **share, **settings) for share in shares]
    with _lock:
        team = _team(policy, count - 1)
        with team.at_work(), _one_thread():
            team.send(others)
            answers = [own(policy), *team.receive(len(others))]
    return _joined(answers)


def dismiss(policy: nn.Module) -> None:
    """End the workers of ``policy``, if it has any; it may get new ones."""
    if team := _teams.pop(policy, None):
        team.close()


class Team:
    """Workers of one policy: send each a share, then receive all answers."""

    def __init__(self, policy: nn.Module, count: int) -> None:
        weights = _weights(policy)
        for weight in weights:
            _share(weight)
        self.state = _state(weights)
        context = multiprocessing.get_context("fork")
        self.connections: list[Connection] = []
        workers: list[Any] = []
        self.close = finalize(self, _dismiss, os.getpid(), workers, self.connections)
        atexit.register(
            self.close
        )  # before multiprocessing's own handler, which would wait for a worker that ignores SIGTERM
        for _ in range(count):
            here, there = context.Pipe()
            worker = context.Process(target=_serve, args=(policy, there, here), daemon=True)
            with (
                warnings.catch_warnings(),
                _held_back(),
            ):  # warnings of other threads that a fork leaves behind
                warnings.simplefilter("ignore", DeprecationWarning)
                worker.start()
            there.close()
            workers.append(worker)
            self.connections.append(here)

    def fits(self, policy: nn.Module, count: int) -> bool:
        """Whether these workers are enough, and share the weights that ``policy`` has now."""
        return (
            self.close.alive
            and len(self.connections) >= count
            and _state(_weights(policy)) == self.state
        )

    def send(self, shares: list[partial[Trajectories]]) -> None:
        """A share of the work for each worker, until there is no more."""
        amp = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
        for connection, share in zip(self.connections, shares, strict=False):
            settings = {
                name: value.numpy() if isinstance(value, Tensor) else value
                for name, value in share.keywords.items()
            }
            with _dead_is_an_error():
                connection.send((share.func, settings, amp))

    def receive(self, count: int) -> list[Trajectories]:
        """What the first ``count`` workers generated."""
        answers = []
        for connection in self.connections[:count]:
            with _dead_is_an_error():
                answer = connection.recv()
            if isinstance(answer, str):
                raise RuntimeError(f"a worker that decodes has failed:\n{answer}")
            answers.append(Trajectories(*map(torch.from_numpy, answer)))
        return answers

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """A team that is left before its answers are in is dismissed."""
        try:
            yield
        except BaseException:
            self.close()
            raise


@contextmanager
def _dead_is_an_error() -> Iterator[None]:
    try:
        yield
    except (EOFError, ConnectionError):
        raise RuntimeError("a worker that decodes has ended; is there too little memory?") from None


def _team(policy: nn.Module, count: int) -> Team:
    team = _teams.get(policy)
    if team is None or not team.fits(policy, count):
        if team is not None:
            team.close()
        team = _teams[policy] = Team(policy, count)
    return team


def _dismiss(owner: int, workers: list[Any], connections: list[Connection]) -> None:
    if os.getpid() == owner:  # and not another team's worker, which has a copy of everything
        for worker, connection in zip(workers, connections, strict=True):
            connection.close()
            worker.kill()
            worker.join()


def _can_share(policy: Any) -> bool:
    """A module on the CPU that does not learn now, each of whose weights has memory of its own."""
    if not isinstance(policy, nn.Module) or any(module.training for module in policy.modules()):
        return False
    weights = _weights(policy)
    if torch.is_inference_mode_enabled() or any(
        weight.is_inference() or weight.device.type != "cpu" for weight in weights
    ):
        return False
    places = [weight.untyped_storage().data_ptr() for weight in weights if weight.numel()]
    return len(set(places)) == len(places)


def _weights(policy: nn.Module) -> list[Tensor]:
    return [*policy.parameters(), *policy.buffers()]


def _state(weights: list[Tensor]) -> list[tuple[int, int, bool]]:
    """What of weights a worker knows from when it was forked; their values it shares."""
    return [(id(weight), weight.data_ptr(), weight.requires_grad) for weight in weights]


def _share(weight: Tensor) -> None:
    """The same values in memory that forked processes share."""
    if weight.numel():
        memory = mmap(-1, weight.numel() * weight.element_size())
        weight.data = (
            torch.frombuffer(memory, dtype=weight.dtype).view(weight.shape).copy_(weight.data)
        )


def _serve(policy: nn.Module, connection: Connection, other: Connection) -> None:
    """A worker's life: until the other end is closed."""
    other.close()
    for number in SIGNALS:
        signal.signal(
            number, signal.SIG_IGN
        )  # sent to the whole group; the parent decides what it means
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    with suppress(EOFError, ConnectionError):
        while True:
            decode, settings, amp = connection.recv()
            torch.clear_autocast_cache()  # of the weights before
            connection.send(_answer(decode, policy, settings, amp))


def _end_with_parent() -> None:
    """End this worker when the process that forked it does, also where that is killed in the middle of a decode."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _held_back() -> Iterator[None]:
    """Signals wait meanwhile: a worker must not run this process's handlers before it has its own."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answer(
    decode: Decode, policy: nn.Module, settings: dict[str, Any], amp: torch.dtype | None
) -> list[np.ndarray] | str:
    """What was generated, as arrays; the traceback, where that fails."""
    try:
        arrays = {
            name: torch.from_numpy(value)
            for name, value in settings.items()
            if isinstance(value, np.ndarray)
        }
        with torch.autocast("cpu", amp or torch.bfloat16, enabled=amp is not None):
            outputs = decode(policy, **(settings | arrays))
        return [outputs.action.numpy(), outputs.length.numpy(), outputs.score.numpy()]
    except Exception:
        return traceback.format_exc()


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _joined(answers: list[Trajectories]) -> Trajectories:
    """All rows, as wide as the widest."""
    width = max(answer.action.shape[1] for answer in answers)
    action = [
        nn.functional.pad(answer.action, (0, width - answer.action.shape[1]), value=PAD)
        for answer in answers
    ]
    lengths, scores = [answer.length for answer in answers], [answer.score for answer in answers]
    return Trajectories(torch.cat(action), torch.cat(lengths), torch.cat(scores))
