"""A CSV of people: a row for each photo, with the columns name and file; external_id and tags, where it has them.

Blocks for the file. As spreadsheets write it: commas, semicolons or tabs, UTF-8 or UTF-16, with or without a mark.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gallery.enrolment.enrol import Sitter
from gallery.enrolment.report import Refused, refusal
from gallery.errors import EnrolmentListInvalid, EnrolmentListMissing, RowInvalid
from gallery.people import Profile
from recognition.near_names import did_you_mean

_MOST_BYTES = 64 << 20
_NEEDED, _KNOWN = ("name", "file"), ("name", "file", "external_id", "tags")
_DELIMITERS = ",;\t|"
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_TWO_NAMES = re.compile(r"[;|&\n]")


class _Row(NamedTuple):
    line: int
    name: str
    file: Path
    external_id: str
    tags: tuple[str, ...]


@dataclass(slots=True)
class _Person:
    lines: list[int] = field(default_factory=list)
    files: dict[Path, int] = field(default_factory=dict)  # with the line of each
    external_ids: dict[str, int] = field(default_factory=dict)
    tags: dict[str, None] = field(default_factory=dict)


def rows_in(source: Path) -> tuple[tuple[Sitter, ...], tuple[Refused, ...]]:
    """The people of a CSV, as they come in it, and its rows that are refused; files are found from where it lies.

    Raises EnrolmentListMissing and EnrolmentListInvalid.
    """
    refused: list[Refused] = []
    people: dict[str, _Person] = {}
    for row in _rows(source, _text(source), refused):
        person = people.setdefault(row.name, _Person())
        person.lines.append(row.line)
        person.files.setdefault(row.file, row.line)
        if row.external_id:
            person.external_ids.setdefault(row.external_id, row.line)
        person.tags.update(dict.fromkeys(row.tags))
    _refuse_shared(source, people, refused)
    sitters = []
    for name, person in people.items():
        if len(person.external_ids) > 1:
            lines = ", ".join(map(str, person.external_ids.values()))
            why = f"{name} has another external_id in lines {lines}; give each person one, and two people two names"
            refused += [_refused(source, line, why) for line in person.lines]
        elif person.files:
            profile = Profile(name, next(iter(person.external_ids), None), tuple(person.tags))
            sitters.append(Sitter(profile, tuple(person.files)))
    return tuple(sitters), tuple(refused)


def _refuse_shared(source: Path, people: Mapping[str, _Person], refused: list[Refused]) -> None:
    """A photo that is given for two people is neither's."""
    owners: dict[Path, list[tuple[str, int]]] = {}
    for name, person in people.items():
        for file, line in person.files.items():
            owners.setdefault(file, []).append((name, line))
    for file, shared in owners.items():
        if len(shared) < 2:
            continue
        lines = " and ".join(str(line) for _, line in shared)
        why = f"{file.name} is given for {len(shared)} people (lines {lines}); give each photo for one person"
        for name, line in shared:
            del people[name].files[file]
            refused.append(_refused(source, line, why))


def _refused(source: Path, line: int, why: str) -> Refused:
    return refusal(source.with_name(f"{source.name}:{line}"), RowInvalid(why))


def _text(source: Path) -> str:
    try:
        if source.stat().st_size > _MOST_BYTES:
            raise EnrolmentListInvalid(f"{source} is larger than {_MOST_BYTES >> 20} MiB: it is no list of people")
        data = source.read_bytes()
    except OSError as error:
        raise EnrolmentListMissing(f"{source} can't be read ({error.strerror}); check the path") from None
    coding = next((coding for mark, coding in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(coding)
    except UnicodeDecodeError:
        raise EnrolmentListInvalid(
            f"{source} is neither a ZIP nor a CSV in UTF-8 (in Excel: save as `CSV UTF-8`)"
        ) from None
    if "\0" in text:
        raise EnrolmentListInvalid(f"{source} is neither a ZIP nor a CSV; give a text with the columns name,file")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _rows(source: Path, text: str, refused: list[Refused]) -> Iterator[_Row]:
    # Excel's own first line, which says by what it separates.
    first, _, rest = text.partition("\n")
    skipped = 0
    if re.fullmatch(r"sep=.", first):
        text, skipped = rest, 1
    columns, delimiter = _header(source, text)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        next(lines)
        for cells in lines:
            line = lines.line_num + skipped
            if not any(cell.strip() for cell in cells):
                continue
            row = _row(source, line, columns, cells)
            if isinstance(row, str):
                refused.append(_refused(source, line, row))
            else:
                yield row
    except csv.Error as error:
        raise EnrolmentListInvalid(f"{source}, line {lines.line_num + skipped}: {error}; mend the line") from None


def _header(source: Path, text: str) -> tuple[list[str], str]:
    """The columns' names, and what separates them."""
    first = text.partition("\n")[0]
    heads = {
        mark: [cell.strip().lower() for cell in next(csv.reader([first], delimiter=mark), [])] for mark in _DELIMITERS
    }
    for mark, columns in heads.items():
        if set(_NEEDED) <= set(columns):
            named = [column for column in columns if column]
            if len(set(named)) < len(named):
                raise EnrolmentListInvalid(f"{source}: a column is there twice in its first line; take one out")
            return columns, mark
    found = max(heads.values(), key=len)
    lacking = [name for name in _NEEDED if name not in found] or list(_NEEDED)
    hint = did_you_mean(lacking[0], found, f"there are: {', '.join(found)[:100] or 'none'}")
    raise EnrolmentListInvalid(
        f"{source} has no column {' and no column '.join(lacking)} in its first line{hint}; it begins with a line "
        f"like {','.join(_KNOWN)}, of which the first two are needed"
    )


def _row(source: Path, line: int, columns: Sequence[str], cells: Sequence[str]) -> _Row | str:
    """A row, or why it is none."""
    if any(cell.strip() for cell in cells[len(columns) :]):
        return f"it has {len(cells)} fields where the first line has {len(columns)}; a row is one person and one photo"
    told = {column: cell.strip() for column, cell in zip(columns, cells, strict=False)}
    name, file = told.get("name", ""), told.get("file", "")
    if not name or not file:
        return f"it has no {'file' if name else 'name'}; a row is one person and one photo"
    if _TWO_NAMES.search(name):
        return f"its name {name[:60]!r} is that of two people; a row is one person and one photo"
    tags = tuple(tag.strip() for tag in re.split(r"[;,|]", told.get("tags", "")) if tag.strip())
    return _Row(line, " ".join(name.split()), _file(source, file), told.get("external_id", ""), tags)


def _file(source: Path, file: str) -> Path:
    """From where the CSV lies; as Windows writes it, too."""
    path = source.parent / file
    slashed = source.parent / file.replace("\\", "/")
    return slashed if "\\" in file and not path.exists() else path
