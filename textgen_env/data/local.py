"""The user's own text: a table, a folder of tables or of parallel files, a saved dataset."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from textgen_env.data.columns import SPLIT, Columns
from textgen_env.data.corpus import SPLITS, Corpus, Pairs, local_corpus
from textgen_env.data.files import digest
from textgen_env.data.folders import STEMS, check_exists, find_file, has_split
from textgen_env.data.parallel import read_iwslt_xml, read_parallel, read_wmt
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
    names = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
    released = next(filter(RELEASED.search, names), "")
    if set(columns.source) & set(columns.target):
        raise UserError(
            f"source and target are both {columns.source[0]!r}; set env.source and env.target to "
            "different names"
        )
    if tedx and not released:
        raise UserError(
            f"env.tedx=true: {place} is not an IWSLT release, so it has no TEDX files; "
            "remove env.tedx"
        )
    if place.is_file():
        if not table_format(place.name):
            raise UserError(
                f"{place}: its format is unknown; give a folder or a file that ends in "
                f"{', '.join(FORMATS)} (text also in .gz)"
            )
        return _single(place, read_table(place, columns), columns)
    form = _form(place, names, columns)
    if form == "state.json":
        return _single(place, arrow_rows(place, columns), columns)
    if form in ("dataset_dict.json", "tables"):
        return _one_table_per_split(place, columns, saved=form == "dataset_dict.json")
    source, target = _suffixes(place, columns)
    if released:
        split = current_scope().splits[0]
        if has_split(place, split, source, target):
            raise UserError(f"{place} has both {released} and {split}.{source}; keep one of them")
        return read_iwslt_xml(place, source, target, tedx is not False)
    if any(name.startswith("newstest") for name in names):
        return read_wmt(place, source, target, columns.unescape)
    return read_parallel(place, source, target, columns.unescape)


def _suffixes(folder: Path, columns: Columns) -> tuple[str, str]:
    """The suffixes of parallel files: of the names in ``columns``, the first that has files."""
    split = current_scope().splits[0]
    source, target = (
        next((name for name in names if has_split(folder, split, name)), names[0])
        for names in (columns.source, columns.target)
    )
    if len(columns.source) > 1 and not has_split(folder, split, source):
        find_file(folder, f"{split}.jsonl")  # raises the error with the closest name
    return source, target


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
    return sorted(texts, key=digest)


def _single(place: Path, rows: Iterable[Row], columns: Columns) -> Corpus:
    """A corpus from one table, split by its column ``split`` or else by a hash."""
    splits = _collect(rows, columns)
    notes: tuple[str, ...] = ()
    if not splits:
        raise UserError(f"{place} has no rows; add at least 10")
    wanted = current_scope().splits
    if "" in splits and wanted == (OF_NAME.get(_stem(place.name)),):  # such as test.tsv, to score
        splits = {wanted[0]: splits[""]}
    elif "" in splits:
        try:
            splits = split_by_hash(splits[""])
        except UserError as error:
            raise UserError(f"{place}: {error}") from None
        notes = (
            f"note: {place.name} has no column {SPLIT}, so a hash of each source chooses its "
            f"split: a tenth of the sources for test, a tenth for validation, at most {HELD_OUT:,} "
            "each",
        )
    if missing := [split for split in wanted if split not in splits]:
        raise UserError(
            f"{place}: no row has the {SPLIT} {' or '.join(missing)}; add some, or remove the "
            f"column {SPLIT}, so that a hash of each source chooses its split"
        )
    chosen = {split: splits[split] for split in wanted}
    return local_corpus(place, chosen, columns.unescape, notes=notes)


def _collect(rows: Iterable[Row], columns: Columns, split: str | None = None) -> dict[str, Pairs]:
    """The pairs of ``split``, or of each split that the rows name.

    Raises:
        UserError: A text is empty, or a row has another number of references.
    """
    splits: dict[str, Pairs] = {}
    for where, row, source, references in read_texts(rows, columns):
        name = _split_of(row, where) if split is None else split
        if splits and (not name) != ("" in splits):
            raise UserError(f"{where}: only some rows have a {SPLIT}; give it to all or to none")
        pairs = splits.setdefault(name, Pairs([], []))
        expected = len(pairs.references[0]) if len(pairs) else len(references)
        if len(references) != expected:
            raise UserError(
                f"{where}: {len(references)} references, but {expected} in the rows before; "
                "give all rows the same number"
            )
        pairs.append(source, references)
    return splits


def _split_of(row: dict[str, Any], where: str) -> str:
    """The split that a row names; empty if the row has no column for it."""
    if SPLIT not in row:
        return ""
    name = row[SPLIT]
    if not isinstance(name, str) or name not in OF_NAME:
        raise UserError(f"{where}: {unknown(SPLIT, name, OF_NAME)}")
    return OF_NAME[name]


def _one_table_per_split(folder: Path, columns: Columns, saved: bool) -> Corpus:
    """A corpus from a file per split, or from the ``DatasetDict`` that is ``saved`` in a folder.

    Raises:
        UserError: A split has no table, several, or one without rows.
    """
    if saved:
        names = [str(name) for name in read_list(folder / "dataset_dict.json", "splits")]
    else:
        names = sorted(path.name for path in folder.iterdir() if table_format(path.name))
    files = {}
    for split in current_scope().splits:
        found = [name for name in names if _stem(name) in STEMS[split]]
        if len(found) > 1:
            raise UserError(f"{folder} has both {found[0]} and {found[1]}; keep one of them")
        if not found and saved:
            raise UserError(
                f"{folder} has no {split} (its splits: {', '.join(names)[:200]}); save train, "
                "validation and test, or a single Dataset, which a hash splits"
            )
        if not found:
            suffix = next(table_format(name) for name in names if _stem(name) in OF_NAME)
            find_file(folder, f"{split}{suffix}")  # raises the error with the closest name
        files[split] = folder / found[0]
    splits: dict[str, Pairs] = {}
    for split, path in files.items():
        rows = arrow_rows(path, columns) if saved else read_table(path, columns)
        splits |= _collect(rows, columns, split)
        if split not in splits:
            raise UserError(f"{folder}: its {split} split has no rows; add at least one")
    return local_corpus(folder, splits, columns.unescape)


def _form(folder: Path, names: list[str], columns: Columns) -> str:
    """The file that marks a saved dataset, or else the kind of the files: tables or parallel.

    Raises:
        UserError: There are several forms, or only tables that belong to no split.
    """
    tables = [name for name in names if table_format(name)]
    others = [name for name in names if name not in tables]
    suffixes = "|".join(map(re.escape, (*columns.source, *columns.target)))
    parallel = re.compile(rf"(?:{'|'.join(OF_NAME)})\.(?:{suffixes})(?:\.gz)?|newstest.*")
    forms = {
        "saved": [name for name in names if name in ("dataset_dict.json", "state.json")],
        "tables": [name for name in tables if _stem(name) in OF_NAME],
        "parallel": [n for n in others if RELEASED.search(n) or parallel.fullmatch(n)],
    }
    found = {form: files[0] for form, files in forms.items() if files}
    if len(found) > 1:
        first, second, *_ = found.values()
        raise UserError(f"{folder} has both {first} and {second}; keep one of them")
    if not found and tables:
        raise UserError(
            f"{folder} has {tables[0]}, but no file of a split, such as "
            f"train{table_format(tables[0])}; name one file per split, set "
            f"env.data={folder / tables[0]} to split this one, or env.data=hub:{folder} if the "
            "folder has the layout of a dataset on the hub"
        )
    return found.get("saved") or next(iter(found), "")


def _stem(name: str) -> str:
    """The name of a table without its suffixes."""
    return name.removesuffix(".gz").removesuffix(table_format(name))
