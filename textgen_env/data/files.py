"""Files: a user's text with clear errors, our own whole or not at all."""

from __future__ import annotations

import gzip
import json
import os
import secrets
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any
from unicodedata import category

from textgen_env.errors import UserError
from textgen_env.terminal import safe_json

# Limits of what is read, after decompression: they fit the memory of a laptop, and no line keeps the tokenizer for minutes.
MAX_FILE = 2 * 2**30  # bytes
MAX_LINES = 10_000_000  # some 160 bytes of overhead each
MAX_LINE = 2**20  # bytes; a line of JSON holds a document and its summaries
MAX_TEXT = 100_000  # characters of one sentence, document or summary
MAX_JSON = 256 * 2**20  # bytes of a file that is read whole, such as a vocabulary

_INVISIBLE = ("Cc", "Cf", "Zs", "Zl", "Zp")  # categories: controls, formats, separators
_ZERO_WIDTH = frozenset("\u034f\u115f\u1160\u2800\u3164\uffa0") | {
    chr(code) for code in range(0xFE00, 0xFE10)
}


def cache_dir() -> Path:
    """Where prepared corpora, vocabularies and teachers are kept: ``$TEXTGEN_CACHE``, else ``~/.cache/textgen_env``."""
    return Path(os.environ.get("TEXTGEN_CACHE") or Path.home() / ".cache" / "textgen_env")


def write_atomically(path: Path, data: bytes) -> None:
    """The file appears whole or not at all; if it cannot be written (a full disk), a UserError, and the old one is intact."""
    beside = path.with_name(
        f".{path.name}.{secrets.token_hex(4)}"
    )  # not tempfile's, which only its owner may read
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(beside, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            with suppress(OSError):  # the folder may be gone
                os.unlink(beside)
            raise
    except OSError as error:
        kept = "; the file that was there is intact" if path.exists() else ""
        raise UserError(f"cannot write {path}: {error.strerror}{kept}") from error


class CorruptFileError(UserError):
    """A file of our own that is not what was saved: truncated, changed, or without a valid checksum."""


def checksum(parts: Iterable[tuple[str, bytes | memoryview]]) -> str:
    """16 hex digits over names and contents; any change of a byte, a name or the order changes them.

    Args:
        parts: ``(name, content)`` pairs; a name is one line and also says how the content is laid out.
    """
    digest = blake2b(digest_size=8)
    for name, content in parts:
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def save_json(path: Path, content: Any) -> None:
    """Save JSON-able ``content`` with its checksum, atomically, for ``load_json``."""
    text = json.dumps(content, ensure_ascii=False)
    head = json.dumps({"checksum": checksum([("", text.encode())])})
    write_atomically(path, f'{head[:-1]}, "content":\n{safe_json(text)}}}\n'.encode())


def load_json(path: Path) -> Any:
    """The content that ``save_json`` saved.

    Raises:
        CorruptFileError: the file is truncated or changed, or was saved without a checksum.
    """
    try:
        document = json.loads(path.read_bytes())
        known = document["checksum"]
        text = json.dumps(document["content"], ensure_ascii=False)
        whole = document.keys() == {"checksum", "content"} and known == checksum(
            [("", text.encode())]
        )
    except OSError as error:
        raise CorruptFileError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise CorruptFileError(f"{path} is damaged: its content does not match its checksum")
    return document["content"]


def read_text(path: Path) -> str:
    """The UTF-8 text of a plain or ``.gz`` file, whole; UserError as ``stream_lines``, but the limit is ``MAX_JSON``."""
    return "".join(_decoded(path, MAX_JSON, MAX_JSON))


def stream_lines(path: Path) -> Iterator[str]:
    """The lines of a plain or ``.gz`` file, one at a time, without their ends.

    A line ends at ``\\n`` (or ``\\r\\n``) and nowhere else: ``str.splitlines`` cuts at U+0085 and U+2028 too, in the
    middle of a sentence.

    Raises:
        UserError: with file and line, where the file is no UTF-8, holds no visible text, or exceeds ``MAX_LINE``,
            ``MAX_LINES`` or ``MAX_FILE``.
    """
    for line in _decoded(path, MAX_LINE, MAX_FILE):
        yield line.removesuffix("\n").rstrip("\r")


def is_blank(text: str) -> bool:
    """Whether nothing of ``text`` is visible: only white space, NUL and other controls, or characters of zero width."""
    return all(character in _ZERO_WIDTH or category(character) in _INVISIBLE for character in text)


def _decoded(path: Path, line_limit: int, file_limit: int) -> Iterator[str]:
    """The lines with their ends, decompressed and decoded one by one; memory holds one of them."""
    size, blank = 0, True
    for number, data in enumerate(_raw_lines(path, line_limit), 1):
        size += len(data)
        if len(data) > line_limit:
            raise UserError(
                f"{path}:{number}: a line of more than {line_limit:,} bytes, the limit; split or delete it"
            )
        if number > MAX_LINES:
            raise UserError(
                f"{path}: more than {MAX_LINES:,} lines, the limit for one file; take a part of it"
            )
        if size > file_limit:
            raise UserError(
                f"{path}: more than {file_limit:,} bytes of text, the limit for one file; take a part of it"
            )
        try:
            line = data.decode("utf-8")
        except UnicodeDecodeError as error:
            wrong = f"byte 0x{data[error.start]:02x} is not UTF-8"
            raise UserError(f"{path}:{number}: {wrong}; convert the file with iconv") from None
        line = line.removeprefix("\ufeff") if number == 1 else line
        blank = blank and is_blank(line)
        yield line
    if blank:
        raise UserError(f"{path}: the file is empty")


def _raw_lines(path: Path, line_limit: int) -> Iterator[bytes]:
    """The lines as bytes; of one that is longer than ``line_limit``, the first bytes, one more than that."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            while line := file.readline(line_limit + 1):
                yield line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: not a whole gzip file ({error}); copy it again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def file_stamps(folder: str | Path | None, pattern: str = "*") -> tuple[tuple[str, int, int], ...]:
    """Path, time and size of a folder's files: equal as long as nothing in it has changed."""
    if not folder or not os.path.isdir(Path(folder).expanduser()):
        return ()
    paths = sorted(Path(folder).expanduser().resolve().glob(pattern))
    stats = (
        (path, path.stat()) for path in paths if os.path.exists(path)
    )  # a link may lead nowhere
    return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in stats)
