"""Run jobs under an audit hook: ``python tests/support/audited.py jobs.json results.json``.

An audit hook cannot be removed, so the jobs run in a process of their own. The result of a job:
``events``, what an untrusted folder must not cause; ``output`` and the exit ``code``.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path

from textgen_env.errors import UserError
from textgen_env.terminal import console

ROOT = Path(__file__).parents[2]
DATA = (".json", ".jsonl", ".safetensors", ".txt", ".model", ".parquet", ".csv", ".yaml")
DATA = (*DATA, "/chat_template.jinja")  # only copied
NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request")
PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pty.spawn")

events: list[str] = []
code_roots = [str(Path(path).resolve()) for path in (sys.prefix, sys.base_prefix, ROOT)]
open_roots = [*code_roots, "/proc", "/sys", "/dev", "/etc/localtime", "/usr"]
untrusted_roots: list[str] = []  # only data files may be opened there


def is_within(path: str, roots: list[str]) -> bool:
    return any(path == root or path.startswith(root + os.sep) for root in roots)


def record_event(event: str, args: tuple) -> None:
    """The audit hook: records network, processes, foreign code, and files outside the roots."""
    if event in NETWORK or event in PROCESSES or event == "pickle.find_class":
        events.append(f"{event} {args!r}"[:200])
    elif event in ("exec", "compile"):
        file = args[0].co_filename if event == "exec" else os.fspath(args[1] or "<none>")
        file = os.fsdecode(file)
        if not file.startswith("<") and not is_within(os.path.realpath(file), code_roots):
            events.append(f"{event} {file}")
    elif event == "open" and not isinstance(args[0], int):
        file = os.path.realpath(os.fsdecode(args[0]))
        is_data = file.endswith(DATA) or os.path.isdir(file)
        if not (is_data and is_within(file, untrusted_roots)) and not is_within(file, open_roots):
            events.append(f"open {file}")


def time_out(*_: object) -> None:
    raise TimeoutError


def load_model(folder: str) -> None:
    from agents.policies.pretrained import load_pretrained

    load_pretrained(folder)


def load_data(folder: str) -> None:
    from textgen_env.data.columns import Columns
    from textgen_env.data.hub import HubDataset, load_hub

    load_hub(HubDataset("Set", folder, Columns(("de",), ("en",))))


def run_command(script: str, *overrides: str) -> None:
    import cli

    sys.argv = [f"{script}.py", *overrides]
    cli.run(importlib.import_module(script).main, script)


def main(jobs: str, results: str) -> None:
    request = json.loads(Path(jobs).read_text())
    code_roots.append(request["site"])
    open_roots.extend([*request["roots"], request["site"]])
    untrusted_roots.extend(request["untrusted"])
    for module in request["imports"]:  # imports may open files and run code
        importlib.import_module(module)
    kinds = {"model": load_model, "data": load_data, "run": run_command}
    outcomes = []
    signal.signal(signal.SIGALRM, time_out)
    sys.addaudithook(record_event)
    for kind, *args in request["jobs"]:
        events.clear()
        signal.alarm(60)
        code, error = 0, ""
        with console.capture() as output:
            try:
                kinds[kind](*args)
            except UserError as user_error:
                code, error = 2, str(user_error)
            except SystemExit as stop:
                code = stop.code
            except BaseException:
                code, error = 1, traceback.format_exc()
        signal.alarm(0)
        outcomes.append({"events": list(events), "code": code, "output": output.get() + error})
    open_roots.append(os.path.dirname(os.path.realpath(results)))
    Path(results).write_text(json.dumps(outcomes))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "experiments"))
    main(*sys.argv[1:])
