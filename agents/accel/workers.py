"""Large decodes split over single-thread processes, which do not wait for each other.

With several threads, the small matmuls of a decoding step leave most cores waiting. Workers are
forked, so they have the policy; its weights move to shared memory, so a worker always sees their
current values. Only sources are sent to the workers, and only outputs come back.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from mmap import mmap
from multiprocessing.connection import Connection
from typing import Any
from weakref import WeakKeyDictionary, finalize

import torch
from torch import Tensor, nn

from agents.training.signals import SIGNALS
from textgen_env.types import PAD, Trajectories

DecodeFunction = Callable[..., Trajectories]  # (policy, max_new_tokens, **rows, **settings)
MIN_ROWS = 32  # rows per worker; with fewer, its matmuls are as slow as multithreaded ones
MIN_WORK = 5e8  # rows · steps · weights; below, sending the rows takes longer than it saves

_lock = threading.Lock()
_max_workers: int | None = None
teams: WeakKeyDictionary[nn.Module, Team] = WeakKeyDictionary()


def set_max_workers(count: int | None) -> None:
    """Set the maximum number of workers; None: the number of torch's threads."""
    global _max_workers
    _max_workers = count


def max_workers() -> int:
    """The maximum number of processes for a decode: 1 inside a worker and outside Linux."""
    if sys.platform != "linux" or multiprocessing.current_process().daemon:
        return 1
    return torch.get_num_threads() if _max_workers is None else _max_workers


def decode_in_workers(
    decode: DecodeFunction,
    policy: Any,
    max_new_tokens: int,
    rows: dict[str, Tensor],
    **settings: Any,
) -> Trajectories:
    """``decode(policy, max_new_tokens, **rows, **settings)``, split over workers if it is large.

    Args:
        decode: A module-level function.
        policy: Steps of a module must have no side effects; anything else, such as a mixture that
            counts its queries, is decoded in this process.
        max_new_tokens: The largest limit.
        rows: Tensors ``[B, …]``, one of them ``source``.
        **settings: Further arguments of ``decode``; ``width`` is its number of hypotheses per row.
    """
    batch = len(rows["source"])
    hypotheses = batch * settings.get("width", 1)
    count = min(max_workers(), batch, hypotheses // MIN_ROWS)
    if (
        count < 2
        or not _can_share(policy)
        or hypotheses * max_new_tokens * _size(policy) < MIN_WORK
    ):
        return decode(policy, max_new_tokens, **rows, **settings)
    chunks = zip(*(value.tensor_split(count) for value in rows.values()), strict=True)
    first, *others = [settings | dict(zip(rows, chunk, strict=True)) for chunk in chunks]
    with _lock:
        team = teams.get(policy)
        if team is None or not team.fits(policy, len(others)):
            stop_team(policy)
            team = teams[policy] = Team(policy, len(others))
        try:
            team.send(decode, max_new_tokens, others)
            outputs = [_in_one_thread(decode, policy, max_new_tokens, **first)]
            return _concatenate([*outputs, *team.receive(len(others))])
        except BaseException as error:  # the next decode must not receive the outputs of this one
            stop_team(policy)
            if isinstance(error, EOFError | ConnectionError):
                raise RuntimeError("a decoding worker has died; is there enough memory?") from error
            raise


def stop_team(policy: nn.Module) -> None:
    """End the workers of ``policy``, if it has any; a later decode starts new ones."""
    if team := teams.pop(policy, None):
        team.close()


class Team:
    """The workers of one policy: send a chunk to each, then receive all outputs."""

    def __init__(self, policy: nn.Module, count: int) -> None:
        for weight in _weights(policy):
            _share(weight)
        self.layout = _layout(policy)
        context = multiprocessing.get_context("fork")
        self.connections: list[Connection] = []
        workers: list[Any] = []
        self.close = finalize(self, _kill, os.getpid(), workers, self.connections)
        # Before multiprocessing's exit handler, which waits for workers that ignore SIGTERM.
        atexit.register(self.close)
        for _ in range(count):
            connection, worker_end = context.Pipe()
            worker = context.Process(
                target=_serve, args=(policy, worker_end, connection), daemon=True
            )
            with warnings.catch_warnings(), _blocked_signals():
                warnings.simplefilter("ignore", DeprecationWarning)  # about forking with threads
                worker.start()
            worker_end.close()
            workers.append(worker)
            self.connections.append(connection)

    def fits(self, policy: nn.Module, count: int) -> bool:
        """Whether there are enough workers, and they share the current weights of ``policy``."""
        return len(self.connections) >= count and _layout(policy) == self.layout

    def send(
        self, decode: DecodeFunction, max_new_tokens: int, chunks: list[dict[str, Any]]
    ) -> None:
        """Send one chunk to each worker."""
        amp = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
        for connection, chunk in zip(self.connections, chunks, strict=False):
            # A view is pickled with all of its memory.
            chunk = {k: v.clone() if isinstance(v, Tensor) else v for k, v in chunk.items()}
            connection.send_bytes(pickle.dumps((decode, max_new_tokens, chunk, amp)))

    def receive(self, count: int) -> list[Trajectories]:
        """Receive the outputs of the first ``count`` workers."""
        outputs = []
        for connection in self.connections[:count]:
            output = pickle.loads(connection.recv_bytes())
            if isinstance(output, str):
                raise RuntimeError(f"a decoding worker has failed:\n{output}")
            outputs.append(output)
        return outputs


def _kill(owner: int, workers: list[Any], connections: list[Connection]) -> None:
    if os.getpid() == owner:  # forked processes hold copies of the teams of their parent
        for worker, connection in zip(workers, connections, strict=True):
            connection.close()
            worker.kill()
            worker.join()


def _can_share(policy: Any) -> bool:
    """Whether it is a module in eval mode on the CPU whose weights do not share memory."""
    if not isinstance(policy, nn.Module) or any(module.training for module in policy.modules()):
        return False
    weights = _weights(policy)
    if torch.is_inference_mode_enabled() or any(
        weight.is_inference() or weight.device.type != "cpu" for weight in weights
    ):
        return False
    storages = [weight.untyped_storage().data_ptr() for weight in weights if weight.numel()]
    return len(set(storages)) == len(storages)


def _weights(policy: nn.Module) -> list[Tensor]:
    return [*policy.parameters(), *policy.buffers()]


def _size(policy: nn.Module) -> int:
    return sum(weight.numel() for weight in policy.parameters())


def _layout(policy: nn.Module) -> list[tuple[int, int, bool]]:
    """What a worker knows of the weights since it was forked; their values are shared."""
    return [(id(weight), weight.data_ptr(), weight.requires_grad) for weight in _weights(policy)]


def _share(weight: Tensor) -> None:
    """Move a weight to memory that forked processes share; /dev/shm may be too small for it."""
    if weight.numel():
        memory = mmap(-1, weight.numel() * weight.element_size())
        shared = torch.frombuffer(memory, dtype=weight.dtype).view(weight.shape)
        weight.data = shared.copy_(weight.data)


def _serve(policy: nn.Module, connection: Connection, parent_end: Connection) -> None:
    """The main loop of a worker, until its parent closes the connection."""
    parent_end.close()
    for number in SIGNALS:  # sent to the whole process group; the parent handles them
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    with suppress(EOFError, ConnectionError):
        while True:
            decode, max_new_tokens, chunk, amp = pickle.loads(connection.recv_bytes())
            torch.clear_autocast_cache()  # it holds casts of earlier weights
            try:
                with torch.autocast("cpu", amp or torch.bfloat16, enabled=amp is not None):
                    output = decode(policy, max_new_tokens, **chunk)
            except Exception:
                output = traceback.format_exc()
            connection.send_bytes(pickle.dumps(output))


def _exit_with_parent() -> None:
    """Exit when the parent does, even if it is killed in the middle of a decode."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _blocked_signals() -> Iterator[None]:
    """Block signals: a worker must not run its parent's handlers before it has set its own."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_one_thread(decode: DecodeFunction, *args: Any, **kwargs: Any) -> Trajectories:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return decode(*args, **kwargs)
    finally:
        torch.set_num_threads(threads)


def _concatenate(outputs: list[Trajectories]) -> Trajectories:
    """The rows of all outputs, padded to the longest."""
    longest = max(output.action.shape[1] for output in outputs)
    action = [
        nn.functional.pad(output.action, (0, longest - output.action.shape[1]), value=PAD)
        for output in outputs
    ]
    length, score = [output.length for output in outputs], [output.score for output in outputs]
    return Trajectories(torch.cat(action), torch.cat(length), torch.cat(score))
