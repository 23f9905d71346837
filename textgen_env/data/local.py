"""The user's own text: a table, a folder of tables or of parallel files, a saved dataset."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from textgen_env.data.columns import SPLIT, Columns
from textgen_env.data.corpus import SPLITS, Corpus, Pairs, Preprocessing
from textgen_env.data.folders import STEMS, check_exists, find_file, has_split
from textgen_env.data.parallel import read_parallel
from textgen_env.data.releases import read_iwslt_xml, read_wmt
from textgen_env.data.scope import current_scope
from textgen_env.data.tables import (
    FORMATS,
    Row,
    arrow_rows,
    read_list,
    read_table,
    read_texts,
    table_format,
)
from textgen_env.errors import UserError, unknown

HELD_OUT = 1_000  # maximum number of sources in test and in validation, if a hash splits
OF_NAME = {stem: split for split, stems in STEMS.items() for stem in stems}  # dev → valid
RELEASED = re.compile(r"^train\.tags\.|\.xml(\.[^.]*)?$")


def read_local(place: Path, columns: Columns, tedx: bool | None = None) -> Corpus:
    """Read the user's text in whichever form it has.

    - A file ``.tsv``, ``.csv``, ``.jsonl``, ``.json`` or ``.parquet``. Its column ``split`` names
      the split of a row; without one, a hash of the source does (``split_by_hash``). A file that
      is named after the only split to read, such as ``test.tsv``, is that split.
    - A folder with one such file per split.
    - A folder of ``datasets``' ``save_to_disk``.
    - A folder of parallel files ``{train,valid,test}.{source,target}``, or an IWSLT or WMT release,
      whose suffixes are the names in ``columns``.

    Args:
        place: The file or folder.
        columns: Where in a table the texts are, or the suffixes of parallel files.
        tedx: Whether the ``TEDX`` files of an IWSLT release belong to the test split; None: yes.

    Raises:
        UserError: The text has none of these forms, or has several, or a file is invalid.
    """
    check_exists(place)
    if set(columns.source) & set(columns.target):
        raise UserError(
            f"source and target are both {columns.source[0]!r}; set env.source and env.target to "
            "different names"
        )
    released = place.is_dir() and any(RELEASED.search(path.name) for path in place.iterdir())
    if tedx and not released:
        raise UserError(
            f"env.tedx=true: {place} is not an IWSLT release, so it has no TEDX files; "
            "remove env.tedx"
        )
    if place.is_file():
        if not table_format(place):
            raise UserError(
                f"{place}: its format is unknown; give a folder or a file that ends in "
                f"{', '.join(FORMATS)} (text also in .gz)"
            )
        return _single(place, read_table(place, columns), columns)
    form, name = _form(place, columns)
    if name == "state.json":
        return _single(place, arrow_rows(place, columns), columns)
    if name == "dataset_dict.json":
        return _of_splits(place, columns, _saved_rows(place, columns))
    if form == "tables":
        return _of_splits(place, columns, _rows_of_tables(place, columns))
    return read_folder(place, columns, tedx)


def read_folder(folder: Path, columns: Columns, tedx: bool | None = None) -> Corpus:
    """Read plain parallel files, an IWSLT release or a WMT release, whichever ``folder`` has.

    Raises:
        UserError: The folder has none of these, or several, or a file is invalid.
    """
    split = current_scope().splits[0]
    source, target = (
        next((name for name in names if has_split(folder, split, name)), names[0])
        for names in (columns.source, columns.target)
    )
    if len(columns.source) > 1 and not has_split(folder, split, source):
        find_file(folder, f"{split}.jsonl")  # raises the error with the closest name
    names = [path.name for path in folder.iterdir()]
    released = next((name for name in sorted(names) if RELEASED.search(name)), "")
    if released:
        if has_split(folder, split, source, target):
            raise UserError(f"{folder} has both {released} and {split}.{source}; keep one of them")
        return read_iwslt_xml(folder, source, target, tedx is not False)
    if any(name.startswith("newstest") for name in names):
        return read_wmt(folder, source, target, columns.unescape)
    return read_parallel(folder, source, target, columns.unescape)


def split_by_hash(pairs: Pairs) -> dict[str, Pairs]:
    """Split by a hash of each source, so that the order of the rows has no influence.

    A tenth of the different sources, at most ``HELD_OUT``, are for test and as many for validation.
    Rows with equal sources are in the same split.

    Raises:
        UserError: There are fewer than ten different sources.
    """
    order = hash_order(set(pairs.sources))
    size = min(HELD_OUT, len(order) // 10)
    if not size:
        raise UserError(
            f"{len(order)} different sources are too few for a split by hash; give at least 10, or "
            f"a column {SPLIT} with train, valid or test"
        )
    held_out = dict.fromkeys(order[:size], "test") | dict.fromkeys(order[size : 2 * size], "valid")
    rows: dict[str, list[int]] = {split: [] for split in SPLITS}
    for i, source in enumerate(pairs.sources):
        rows[held_out.get(source, "train")].append(i)
    return {split: pairs.rows(index) for split, index in rows.items()}


def hash_order(texts: Iterable[str]) -> list[str]:
    """Sort texts by their hash: an order that looks random and is the same everywhere."""
    return sorted(texts, key=lambda text: blake2b(text.encode(), digest_size=8).digest())


def _single(place: Path, rows: Iterable[Row], columns: Columns) -> Corpus:
    """A corpus from one table, split by its column ``split`` or else by a hash."""
    splits = _collect(rows, columns, _split_of)
    if not splits:
        raise UserError(f"{place} has no rows; add at least 10")
    wanted = current_scope().splits
    if "" in splits and wanted == (OF_NAME.get(_stem(place.name)),):  # such as test.tsv, to score
        return _corpus(place, columns, {wanted[0]: splits[""]})
    if "" in splits:
        try:
            splits = split_by_hash(splits[""])
        except UserError as error:
            raise UserError(f"{place}: {error}") from None
        note = (
            f"note: {place.name} has no column {SPLIT}, so a hash of each source chooses its "
            f"split: a tenth of the sources for test, a tenth for validation, at most {HELD_OUT:,} "
            "each"
        )
        chosen = {split: splits[split] for split in wanted}
        return replace(_corpus(place, columns, chosen), notes=(note,))
    if missing := [split for split in wanted if split not in splits]:
        raise UserError(
            f"{place}: no row has the {SPLIT} {' or '.join(missing)}; add some, or remove the "
            f"column {SPLIT}, so that a hash of each source chooses its split"
        )
    return _corpus(place, columns, {split: splits[split] for split in wanted})


def _split_of(row: dict[str, Any], where: str) -> str:
    """The split that a row names; empty if the row has no column for it."""
    if SPLIT not in row:
        return ""
    name = row[SPLIT]
    if not isinstance(name, str) or name not in OF_NAME:
        raise UserError(f"{where}: {unknown(SPLIT, name, OF_NAME)}")
    return OF_NAME[name]


def _collect(
    rows: Iterable[Row], columns: Columns, split_of: Callable[[dict[str, Any], str], str]
) -> dict[str, Pairs]:
    """The pairs of each split; UserError for an empty text or another number of references."""
    splits: dict[str, Pairs] = {}
    for where, row, source, references in read_texts(rows, columns):
        split = split_of(row, where)
        if splits and (not split) != ("" in splits):
            raise UserError(f"{where}: only some rows have a {SPLIT}; give it to all or to none")
        pairs = splits.setdefault(split, Pairs([], []))
        expected = len(pairs.references[0]) if len(pairs) else len(references)
        if len(references) != expected:
            raise UserError(
                f"{where}: {len(references)} references, but {expected} in the rows before; "
                "give all rows the same number"
            )
        pairs.sources.append(source)
        pairs.references.append(references)
    return splits


def _of_splits(place: Path, columns: Columns, rows: dict[str, Iterable[Row]]) -> Corpus:
    """A corpus from the rows of each split."""
    splits = {}
    for split in current_scope().splits:
        collected = _collect(rows[split], columns, lambda *_: "")
        if not collected:
            raise UserError(f"{place}: its {split} split has no rows; add at least one")
        splits[split] = collected[""]
    return _corpus(place, columns, splits)


def _saved_rows(folder: Path, columns: Columns) -> dict[str, Iterable[Row]]:
    """The rows of each split of a ``DatasetDict``."""
    names = read_list(folder / "dataset_dict.json", "splits")
    rows: dict[str, Iterable[Row]] = {}
    for split in current_scope().splits:
        stems = STEMS[split]
        present = [name for name in names if name in stems]
        if len(present) != 1:
            problem = f"both {present[0]} and {present[1]}" if present else f"no {split}"
            raise UserError(
                f"{folder} has {problem} (its splits: {', '.join(map(str, names))[:200]}); save "
                "train, validation and test, or a single Dataset, which a hash splits"
            )
        rows[split] = arrow_rows(folder / present[0], columns)
    return rows


def _form(folder: Path, columns: Columns) -> tuple[str, str]:
    """The form of the text in a folder and one of its files; empty if there is none.

    Raises:
        UserError: There are several forms, or only tables that belong to no split.
    """
    names = {path.name for path in folder.iterdir()}
    tables = {name for name in names if table_format(folder / name)}
    suffixes = "|".join(map(re.escape, (*columns.source, *columns.target)))
    parallel = re.compile(rf"(?:{'|'.join(OF_NAME)})\.(?:{suffixes})(?:\.gz)?|newstest.*")
    forms = {
        "saved": names & {"state.json", "dataset_dict.json"},
        "tables": {name for name in tables if _stem(name) in OF_NAME},
        "parallel": {n for n in names - tables if RELEASED.search(n) or parallel.fullmatch(n)},
    }
    found = [(form, min(files)) for form, files in forms.items() if files]
    if len(found) > 1:
        raise UserError(f"{folder} has both {found[0][1]} and {found[1][1]}; keep one of them")
    if not found and tables:
        raise UserError(
            f"{folder} has {min(tables)}, but no file of a split, such as "
            f"train{table_format(folder / min(tables))}; name one file per split, set "
            f"env.data={folder / min(tables)} to split this one, or env.data=hub:{folder} if the "
            "folder has the layout of a dataset on the hub"
        )
    return found[0] if found else ("", "")


def _stem(name: str) -> str:
    """The name of a table without its suffixes."""
    return name.removesuffix(".gz").removesuffix(table_format(Path(name)))


def _rows_of_tables(folder: Path, columns: Columns) -> dict[str, Iterable[Row]]:
    """The rows of one table per split; UserError if a split has none or several."""
    names = sorted(path.name for path in folder.iterdir() if table_format(path))
    files = {
        split: [name for name in names if _stem(name) in STEMS[split]]
        for split in current_scope().splits
    }
    suffix = next(table_format(folder / name) for name in names if _stem(name) in OF_NAME)
    for split, found in files.items():
        if len(found) > 1:
            raise UserError(f"{folder} has both {found[0]} and {found[1]}; keep one of them")
        if not found:
            find_file(folder, f"{split}{suffix}")  # raises the error with the closest name
    return {split: read_table(folder / name, columns) for split, (name,) in files.items()}


def _corpus(place: Path, columns: Columns, splits: dict[str, Pairs]) -> Corpus:
    name = place.resolve().name
    name = name.partition(".")[0] if place.is_file() else name
    return Corpus(name, "local", str(place), splits, preprocessing=Preprocessing(columns.unescape))
