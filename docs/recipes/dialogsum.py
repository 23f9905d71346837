"""Rewrites DialogSum as conversations, one per dialogue: the user asks for a summary of it.

python docs/recipes/dialogsum.py DIALOGSUM dialogsum
"""

import gzip
import json
import sys
from pathlib import Path

from textgen_env.errors import UserError

SPLITS = {"train": "train", "valid": "dev", "test": "test"}
REQUEST = "Summarize this dialogue in one or two sentences.\n\n"


def conversation(row: dict[str, str]) -> dict[str, str]:
    """The row of Chat-v0 for a row of DialogSum; of several summaries the first is the answer."""
    answer = row.get("summary") or row["summary1"]
    return {"prompt": REQUEST + row["dialogue"], "completion": answer}


def read_lines(folder: Path, name: str) -> list[str]:
    """The lines of ``name``.jsonl or ``name``.jsonl.gz.

    Raises:
        UserError: There is neither.
    """
    path = folder / f"{name}.jsonl"
    if path.is_file():
        return path.read_text(encoding="utf-8").splitlines()
    compressed = folder / f"{name}.jsonl.gz"
    if compressed.is_file():
        return gzip.decompress(compressed.read_bytes()).decode().splitlines()
    raise UserError(f"{folder}: no {path.name} and no {compressed.name}")


def main(folder: str, out: str = "dialogsum") -> None:
    """Write ``out``/{train,valid,test}.jsonl."""
    for split, name in SPLITS.items():
        try:
            rows = [conversation(json.loads(line)) for line in read_lines(Path(folder), name)]
        except (json.JSONDecodeError, KeyError) as error:
            raise UserError(f"{folder}: {name} is not a file of DialogSum ({error!r})") from error
        path = Path(out, f"{split}.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path.write_text(text, encoding="utf-8")
        print(f"{path}: {len(rows):,} conversations")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
