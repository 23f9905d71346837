"""Reading a user's text files and writing our own: clear errors on the way in, nothing half-written on the way out."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from textgen_env.errors import UserError

UMASK = os.umask(0o022)  # to be read it must be set
os.umask(UMASK)


def cache_dir() -> Path:
    """Where prepared corpora, vocabularies and teachers are kept: ``$TEXTGEN_CACHE``, else ``~/.cache/textgen_env``."""
    return Path(os.environ.get("TEXTGEN_CACHE") or Path.home() / ".cache" / "textgen_env")


def write_atomically(path: Path, data: bytes) -> None:
    """The file appears whole or not at all; if it cannot be written (a full disk), a UserError, and the old one is intact."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~UMASK)  # a temporary file is for its owner only
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):  # the folder may be gone
                os.unlink(name)
            raise
    except OSError as error:
        kept = "; the file that was there is intact" if path.exists() else ""
        raise UserError(f"cannot write {path}: {error.strerror}{kept}") from error


class DamagedFile(UserError):
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
    write_atomically(path, f'{head[:-1]}, "content":\n{text}}}\n'.encode())


def load_json(path: Path) -> Any:
    """The content that ``save_json`` saved.

    Raises:
        DamagedFile: the file is truncated or changed, or was saved without a checksum.
    """
    try:
        found = json.loads(path.read_bytes())
        known = found["checksum"]
        text = json.dumps(found["content"], ensure_ascii=False)
        whole = found.keys() == {"checksum", "content"} and known == checksum([("", text.encode())])
    except OSError as error:
        raise DamagedFile(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise DamagedFile(f"{path} is damaged: its content does not match its checksum")
    return found["content"]


def read_text(path: Path) -> str:
    """The UTF-8 text of a plain or ``.gz`` file; UserError with file and line where it is not that, or is empty."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: not a whole gzip file ({error}); copy it again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; convert the file with iconv") from None
    if not text.strip():
        raise UserError(f"{path}: the file is empty")
    return text


def read_lines(path: Path) -> list[str]:
    """Lines end at ``\\n`` (or ``\\r\\n``) and nowhere else: str.splitlines cuts at U+0085 and U+2028 too, mid-sentence."""
    return [line.rstrip("\r") for line in read_text(path).removesuffix("\n").split("\n")]


def stamp(folder: str | Path | None, pattern: str = "*") -> tuple[tuple[str, int, int], ...]:
    """Path, time and size of a folder's files: equal as long as nothing in it has changed."""
    if not folder or not os.path.isdir(Path(folder).expanduser()):
        return ()
    paths = sorted(Path(folder).expanduser().resolve().glob(pattern))
    stats = ((path, path.stat()) for path in paths if os.path.exists(path))  # a link may lead nowhere
    return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in stats)
