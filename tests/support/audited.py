"""Jobs from a JSON file, each under an audit hook: ``python tests/support/audited.py jobs.json results.json``.

A hook cannot be removed, so the jobs run in a process of their own.  A result says what a job did
that a folder which is only data cannot make it do: ``events``, and how it ended: ``said``, ``code``.
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
NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request")
PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pty.spawn")

events: list[str] = []
code_roots = [str(Path(path).resolve()) for path in (sys.prefix, sys.base_prefix, ROOT)]
open_roots = [*code_roots, "/proc", "/sys", "/dev", "/etc/localtime", "/usr"]
folders: list[str] = []  # of which only files of data may be opened


def within(path: str, roots: list[str]) -> bool:
    return any(path == root or path.startswith(root + os.sep) for root in roots)


def watch(event: str, args: tuple) -> None:
    """The hook: it only takes down."""
    if event in NETWORK or event in PROCESSES or event == "pickle.find_class":
        events.append(f"{event} {args!r}"[:200])
    elif event in ("exec", "compile"):
        file = args[0].co_filename if event == "exec" else os.fspath(args[1] or "<none>")
        file = os.fsdecode(file)
        if not file.startswith("<") and not within(os.path.realpath(file), code_roots):
            events.append(f"{event} {file}")
    elif event == "open" and not isinstance(args[0], int):
        file = os.path.realpath(os.fsdecode(args[0]))
        data = within(file, folders) and (file.endswith(DATA) or os.path.isdir(file))
        if not data and not within(file, open_roots):
            events.append(f"open {file}")


def late(*_: object) -> None:
    raise TimeoutError


def load_model(folder: str) -> None:
    from agents.policies.pretrained import load_pretrained

    load_pretrained(folder)


def load_data(folder: str) -> None:
    from textgen_env.data.hub import HubDataset, load_hub

    load_hub(HubDataset("Set", folder, "de", "en"))


def run(script: str, *words: str) -> None:
    import cli

    sys.argv = [f"{script}.py", *words]
    cli.run(importlib.import_module(script).main, script)


def main(jobs: str, results: str) -> None:
    asked = json.loads(Path(jobs).read_text())
    open_roots.extend(asked["roots"])
    code_roots.append(asked["site"])
    open_roots.append(asked["site"])
    folders.extend(asked["folders"])
    for module in asked["imports"]:  # with what their own loading does
        importlib.import_module(module)
    known = {"model": load_model, "data": load_data, "run": run}
    found = []
    signal.signal(signal.SIGALRM, late)
    sys.addaudithook(watch)
    for kind, *words in asked["jobs"]:
        events.clear()
        signal.alarm(60)  # a job that waits for ever is a failed one
        code, error = 0, ""
        with console.capture() as said:
            try:
                known[kind](*words)
            except UserError as refused:
                code, error = 2, str(refused)
            except SystemExit as stop:
                code = stop.code
            except BaseException:
                code, error = 1, traceback.format_exc()
        signal.alarm(0)
        found.append({"events": list(events), "code": code, "said": said.get() + error})
    open_roots.append(os.path.dirname(os.path.realpath(results)))
    Path(results).write_text(json.dumps(found))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "experiments"))
    main(*sys.argv[1:])
