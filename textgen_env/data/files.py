"""File I/O: user text with size limits and one-line errors; our own files with atomic writes."""

from __future__ import annotations

import gzip
import json
import os
import re
import secrets
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any
from unicodedata import category

from textgen_env.data.schema import Schema, check, parse_json
from textgen_env.errors import UserError
from textgen_env.terminal import safe_json

# Limits on input after decompression, chosen so that it fits in a laptop's memory and no single
# line occupies the tokenizer for minutes.
MAX_FILE = 2 * 2**30  # bytes
MAX_LINES = 10_000_000  # about 160 bytes of overhead per line
MAX_LINE = 2**20  # bytes; a JSON line holds a document and its summaries
MAX_TEXT = 100_000  # characters of one sentence, document or summary
MAX_JSON = 256 * 2**20  # bytes of a file that is read in one go, such as a vocabulary

TOKEN = 4  # random bytes in the name of a temporary file
_INVISIBLE = ("Cc", "Cf", "Zs", "Zl", "Zp")  # Unicode categories: controls, formats, separators
_ZERO_WIDTH = frozenset("\u034f\u115f\u1160\u2800\u3164\uffa0") | {
    chr(code) for code in range(0xFE00, 0xFE10)
}


def cache_dir() -> Path:
    """Directory of prepared corpora, vocabularies and teachers.

    ``$TEXTGEN_CACHE``, or else ``~/.cache/textgen_env``.
    """
    return Path(os.environ.get("TEXTGEN_CACHE") or Path.home() / ".cache" / "textgen_env")


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` completely or not at all.

    Raises:
        UserError: The write failed (a full disk, for example). An existing file is unchanged.
    """
    # not tempfile: its files are readable by their owner only
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(TOKEN)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        intact = "; the file that was there is intact" if path.exists() else ""
        raise UserError(f"cannot write {path}: {error.strerror}{intact}") from error
    finally:
        with suppress(OSError):  # it is there if the write failed
            os.unlink(temporary)


def is_temporary(path: Path) -> bool:
    """Whether a process that was killed in ``write_atomically`` left this file."""
    return re.fullmatch(rf"\..+\.[0-9a-f]{{{2 * TOKEN}}}", path.name) is not None


def remove_temporaries(folder: Path) -> None:
    """Delete what killed processes left in ``folder``, which no running process may write."""
    for path in filter(is_temporary, [*folder.glob(".*"), *folder.glob("*/.*")]):
        with suppress(OSError):
            path.unlink()


class CorruptFileError(UserError):
    """A file saved by this project is truncated, modified, or has no valid checksum."""


def checksum(parts: Iterable[tuple[str, bytes | memoryview]]) -> str:
    """Hash names and contents, in order, to 16 hex digits.

    Args:
        parts: ``(name, content)`` pairs. A name is one line and includes the layout of the content.
    """
    digest = blake2b(digest_size=8)
    for name, content in parts:
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def digest(text: str) -> str:
    """Hash of a text, 16 hex digits."""
    return blake2b(text.encode(), digest_size=8).hexdigest()


def save_json(path: Path, content: Any) -> None:
    """Save JSON-serializable ``content`` atomically, with a checksum for ``load_json``."""
    text = json.dumps(content, ensure_ascii=False)
    head = json.dumps({"checksum": checksum([("", text.encode())])})
    write_atomically(path, f'{head[:-1]}, "content":\n{safe_json(text)}}}\n'.encode())


def load_json(path: Path, schema: Schema = None) -> Any:
    """Load the content that ``save_json`` saved; ``schema`` is checked too, unless it is None.

    Raises:
        CorruptFileError: The file is truncated or modified, has no checksum, or holds other values.
    """
    try:
        document = json.loads(read_bytes(path, MAX_FILE))
        content = document["content"]
        expected = checksum([("", json.dumps(content, ensure_ascii=False).encode())])
        valid = document == {"checksum": expected, "content": content}
    except UserError as error:
        raise CorruptFileError(str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        valid = False
    if not valid:
        raise CorruptFileError(f"{path} is corrupted: its content does not match its checksum")
    if schema is not None:
        try:
            check(content, schema, "content")
        except ValueError as error:
            raise CorruptFileError(f"{path} is corrupted ({error})") from error
    return content


def read_rows(path: Path, schema: Schema) -> list[tuple[bytes, dict[str, Any]]]:
    """Read a file of JSON lines; a last line without its end was being written and is left out.

    Returns:
        Each line, and the object in it.

    Raises:
        UserError: A line does not match ``schema``.
    """
    rows = []
    for number, line in enumerate(read_bytes(path, MAX_JSON).split(b"\n")[:-1], start=1):
        try:
            rows.append((line, parse_json(line, schema, "the row")))
        except ValueError as error:
            raise UserError(
                f"{path}:{number}: not a row of this file ({error}); remove the line"
            ) from None
    return rows


def read_bytes(path: Path, limit: int = MAX_JSON) -> bytes:
    """Read a whole file.

    Raises:
        UserError: It cannot be read, is larger than ``limit`` bytes, or is no regular file: a named
            pipe would block for ever.
    """
    _check_regular(path, limit)
    with _readable(path):
        return path.read_bytes()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Report an error of the operating system in one line."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: incomplete gzip file ({error}); copy it again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _check_regular(path: Path, limit: int) -> None:
    with _readable(path):
        status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: cannot be read (it is not a regular file); replace it by one")
    if status.st_size > limit:
        raise UserError(f"{path}: {status.st_size:,} bytes, more than {limit:,} (the limit)")


def read_text(path: Path) -> str:
    """Read a whole regular UTF-8 file, plain or ``.gz``, of at most ``MAX_JSON`` bytes.

    Raises:
        UserError: As in ``stream_lines``.
    """
    _check_regular(path, MAX_JSON)
    return "".join(_decode_lines(path, MAX_JSON, MAX_JSON))


def stream_lines(path: Path) -> Iterator[str]:
    r"""Yield the lines of a plain or ``.gz`` file without their line ends.

    Only ``\n`` and ``\r\n`` end a line; ``str.splitlines`` would also split sentences at U+0085
    and U+2028.

    Raises:
        UserError: The file is not UTF-8, has no visible text, or exceeds ``MAX_LINE``,
            ``MAX_LINES`` or ``MAX_FILE``. The message names the file and the line.
    """
    for line in _decode_lines(path, MAX_LINE, MAX_FILE):
        yield line.removesuffix("\n").rstrip("\r")


def is_blank(text: str) -> bool:
    """Whether ``text`` has no visible character, only white space, controls and zero-width ones."""
    return all(character in _ZERO_WIDTH or category(character) in _INVISIBLE for character in text)


def _decode_lines(path: Path, line_limit: int, file_limit: int) -> Iterator[str]:
    """Decompress and decode one line at a time; lines keep their ends."""
    size, blank = 0, True
    for number, data in enumerate(_raw_lines(path, line_limit), 1):
        size += len(data)
        if len(data) > line_limit:
            raise UserError(
                f"{path}:{number}: line of more than {line_limit:,} bytes (the limit); "
                "split or delete it"
            )
        if number > MAX_LINES:
            raise UserError(f"{path}: more than {MAX_LINES:,} lines (the limit); use fewer")
        if size > file_limit:
            raise UserError(f"{path}: more than {file_limit:,} bytes (the limit); use less text")
        try:
            line = data.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = f"byte 0x{data[error.start]:02x} is not UTF-8"
            raise UserError(f"{path}:{number}: {byte}; convert the file with iconv") from None
        line = line.removeprefix("\ufeff") if number == 1 else line
        blank = blank and is_blank(line)
        yield line
    if blank:
        raise UserError(f"{path}: the file is empty")


def _raw_lines(path: Path, line_limit: int) -> Iterator[bytes]:
    """Yield the lines as bytes; a longer line is cut one byte after ``line_limit``."""
    with _readable(path), gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        while line := file.readline(line_limit + 1):
            yield line


def file_stamps(place: str | Path | None, pattern: str = "*") -> tuple[tuple[str, int, int], ...]:
    """Path, modification time and size of a file or of those in a folder, to detect changes."""
    if not place:
        return ()
    place = Path(place).expanduser().resolve()
    paths = sorted(place.glob(pattern)) if os.path.isdir(place) else [place]
    stats = ((path, path.stat()) for path in paths if os.path.exists(path))  # skips broken links
    return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in stats)
