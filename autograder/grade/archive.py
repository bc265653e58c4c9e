"""Unpacks a ZIP of submissions, as Moodle and Canvas export it, into a class's layout. Nothing in it is trusted."""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from autograder.course import CourseError
from autograder.grade.collect import Stray
from autograder.grade.model import Master
from autograder.grade.read import MAX_BYTES

MAX_ENTRIES = 100_000
# All that is unpacked together, in bytes.
MAX_TOTAL = 4_000_000_000
# "Ann Lee_123_assignsubmission_file_async.ipynb", or a folder of that name with the files in it.
MOODLE = re.compile(r"(?P<student>.+_\d+)_assignsubmission_file(?:_(?P<file>.*))?")
# "leeann_123_456_async.ipynb", "leeann_LATE_123_456_async-2.ipynb".
CANVAS = re.compile(r"(?P<name>[^_]+)_(?:LATE_)?(?P<id>\d+)_\d+_(?P<file>.+)")
# What browsers and Canvas add to the name of a file that was there already.
AGAIN = re.compile(r"(?: ?\((\d+)\)|-(\d+))$")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file of the archive: whose it is, and where in a class's folder it belongs."""

    info: zipfile.ZipInfo
    student: str
    target: PurePosixPath
    # How often it was handed in before, by its name.
    version: int = 0


class _StrayError(Exception):
    """An entry that isn't unpacked; its text says why."""


def unpack(archive: Path, folder: Path, masters: Mapping[str, Master]) -> list[Stray]:
    """Write the submissions of a ZIP into `folder` as STUDENT/SECTION/LESSON.ipynb; return what belongs nowhere.

    Only regular files are written, below `folder`, and no more bytes than are allowed. Raises CourseError where
    `archive` is no ZIP, or has too many entries.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            if len(opened.infolist()) > MAX_ENTRIES:
                raise CourseError(f"{archive} has more than {MAX_ENTRIES:,} entries: unpack it and grade it in parts")
            return _unpack(opened, folder, masters)
    except (zipfile.BadZipFile, OSError) as error:
        raise CourseError(f"{archive} is neither a folder nor a ZIP that can be read: {error}") from error


def _unpack(archive: zipfile.ZipFile, folder: Path, masters: Mapping[str, Master]) -> list[Stray]:
    """Write the entries of an archive."""
    strays: list[Stray] = []
    newest: dict[PurePosixPath, _Entry] = {}
    for info in archive.infolist():
        if info.is_dir() or _is_hidden(info.filename):
            continue
        try:
            entry = _entry(info, masters)
        except _StrayError as why:
            strays.append(Stray("", info.filename, str(why)))
            continue
        other = newest.get(entry.target)
        if other:
            entry, older = sorted((entry, other), key=lambda one: (one.version, one.info.date_time), reverse=True)
            strays.append(Stray(entry.student, older.info.filename, "it was handed in again: the newest counts"))
        newest[entry.target] = entry
    room = MAX_TOTAL
    for entry in newest.values():
        try:
            room -= _write(archive, entry, folder, room)
        except _StrayError as why:
            strays.append(Stray(entry.student, entry.info.filename, str(why)))
    return strays


def _entry(info: zipfile.ZipInfo, masters: Mapping[str, Master]) -> _Entry:
    """Return whose an entry is and where it belongs. Raises _StrayError where it must not be unpacked."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise _StrayError("it is a link or a device, not a file")
    if info.flag_bits & 1:
        raise _StrayError("it is encrypted")
    path = PurePosixPath(info.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or any(":" in part or "\0" in part for part in path.parts):
        raise _StrayError("its path leads out of the archive")
    student, section, name = _owner(path, masters)
    return _placed(info, _safe(student), section, name, masters)


def _owner(path: PurePosixPath, masters: Mapping[str, Master]) -> tuple[str, str, str]:
    """Return the student, the section ("" where it isn't said) and the file's name."""
    for part in path.parts:
        if found := MOODLE.fullmatch(part):
            return found["student"], "", found["file"] or path.name
    if found := CANVAS.fullmatch(path.name):
        return f"{found['name']}_{found['id']}", "", found["file"]
    sections = {master.section for master in masters.values()}
    if len(path.parts) >= 3 and path.parts[-2] in sections:
        return path.parts[-3], path.parts[-2], path.name
    raise _StrayError("its name is neither Moodle's, nor Canvas's, nor STUDENT/SECTION/LESSON.ipynb")


def _placed(info: zipfile.ZipInfo, student: str, section: str, name: str, masters: Mapping[str, Master]) -> _Entry:
    """Return an entry with its place: that of the lesson of this name, else the only section that it can be of."""
    stem, dot, ending = _safe(name).rpartition(".")
    again = AGAIN.search(stem)
    for known, version in ((stem, 0), (stem[: again.start()] if again else stem, _number(again))):
        lessons = [
            master.lesson
            for master in masters.values()
            if master.notebook == known and master.section == (section or master.section)
        ]
        if ending == "ipynb" and len(lessons) == 1:
            return _Entry(info, student, PurePosixPath(student, f"{lessons[0]}.ipynb"), version)
    sections = {section} if section else {master.section for master in masters.values()}
    if len(sections) != 1:
        raise _StrayError("it is none of the lessons, and may belong to several sections: name one to grade")
    return _Entry(info, student, PurePosixPath(student, *sections, f"{stem}{dot}{ending}"))


def _number(again: re.Match[str] | None) -> int:
    """Return the number that a file's name ends in."""
    return int(again[1] or again[2]) if again else 0


def _write(archive: zipfile.ZipFile, entry: _Entry, folder: Path, room: int) -> int:
    """Write one entry; return its size. Raises _StrayError where that is too much, or it is damaged."""
    most = MAX_BYTES + 1  # one more, so that reading it says that it is too large
    try:
        with archive.open(entry.info) as file:
            content = file.read(most)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise _StrayError(f"it could not be unpacked: {error}") from error
    if len(content) > room:
        raise _StrayError(f"the archive has more than {MAX_TOTAL:,} bytes: it was not unpacked")
    target = folder.joinpath(*entry.target.parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return len(content)


def _is_hidden(name: str) -> bool:
    """Whether a file belongs to the system that packed it."""
    return any(part == "__MACOSX" or part == ".DS_Store" for part in PurePosixPath(name).parts)


def _safe(name: str) -> str:
    """Return a name that is one part of a path on every system."""
    return re.sub(r"[^\w .@()+-]", "_", name).strip(" .")[:120] or "_"
