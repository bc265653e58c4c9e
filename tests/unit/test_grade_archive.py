"""A ZIP of submissions: whose each file is, and nothing written outside the folder or beyond the limits."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from autograder.course import CourseError
from autograder.grade import archive
from autograder.grade.archive import unpack
from autograder.grade.collect import Stray
from autograder.grade.model import Master

MASTERS = {
    lesson: Master(lesson, lesson, {}, {}, {}, {})
    for lesson in ("01_core/01_sums", "01_core/02_lists", "02_web/01_http")
}


def unpacked(folder: Path, *entries: str | zipfile.ZipInfo, size: int = 1) -> tuple[dict[str, bytes], list[Stray]]:
    """Pack entries (each holds its own number), and return the files that are unpacked and the strays."""
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for number, entry in enumerate(entries):
            packed.writestr(entry, str(number) * size)
    target = folder / "out" / "deep"
    target.mkdir(parents=True)
    strays = unpack(folder / "x.zip", target, MASTERS)
    files = [path for path in (folder / "out").rglob("*") if path.is_file()]
    return {path.relative_to(target).as_posix(): path.read_bytes() for path in files}, strays


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("Ann Lee_12_assignsubmission_file/01_sums.ipynb", "Ann Lee_12/01_core/01_sums.ipynb"),
        ("Ann Lee_12_assignsubmission_file_/01_sums.ipynb", "Ann Lee_12/01_core/01_sums.ipynb"),
        ("Ann Lee_12_assignsubmission_file_01_http.ipynb", "Ann Lee_12/02_web/01_http.ipynb"),
        ("Zoë O'Neil_7_assignsubmission_file/01_sums.ipynb", "Zoë O_Neil_7/01_core/01_sums.ipynb"),
        ("leeann_12_345_01_sums.ipynb", "leeann_12/01_core/01_sums.ipynb"),
        ("leeann_LATE_12_345_01_sums-2.ipynb", "leeann_12/01_core/01_sums.ipynb"),
        ("leeann_12_345_01_sums (1).ipynb", "leeann_12/01_core/01_sums.ipynb"),
        ("ann/01_core/01_sums.ipynb", "ann/01_core/01_sums.ipynb"),
        ("class/ann/01_core/notes.txt", "ann/01_core/notes.txt"),
    ],
)
def test_a_file_goes_to_its_student_and_lesson(tmp_path: Path, name: str, place: str) -> None:
    assert unpacked(tmp_path, name) == ({place: b"0"}, [])


@pytest.mark.parametrize(
    "name",
    [
        "../ann/01_core/01_sums.ipynb",
        "/ann/01_core/01_sums.ipynb",
        "ann\\..\\..\\01_core\\01_sums.ipynb",
        "C:/ann/01_core/01_sums.ipynb",
        "leeann_12_345_../../01_sums.ipynb",
        "leeann_12_345_final.ipynb",
        "whatever.ipynb",
    ],
)
def test_what_leads_out_or_belongs_nowhere_is_named_and_not_written(tmp_path: Path, name: str) -> None:
    files, strays = unpacked(tmp_path, name)
    assert files == {}
    assert [stray.path.replace("\\", "/") for stray in strays] == [name.replace("\\", "/")]


def test_a_link_is_named_and_not_written(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("ann/01_core/01_sums.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    files, strays = unpacked(tmp_path, link)
    assert (files, [stray.why for stray in strays]) == ({}, ["it is a link or a device, not a file"])


def test_the_newest_of_several_counts(tmp_path: Path) -> None:
    files, strays = unpacked(
        tmp_path, "a_1_2_01_sums-2.ipynb", "a_1_2_01_sums-10.ipynb", "a_1_2_01_sums.ipynb", "a_1_2_02_lists.ipynb"
    )
    assert files == {"a_1/01_core/01_sums.ipynb": b"1", "a_1/01_core/02_lists.ipynb": b"3"}
    assert {stray.path for stray in strays} == {"a_1_2_01_sums-2.ipynb", "a_1_2_01_sums.ipynb"}


def test_a_bomb_is_not_unpacked_beyond_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    monkeypatch.setattr(archive, "MAX_TOTAL", 1500)
    files, strays = unpacked(tmp_path, "a_1_2_01_sums.ipynb", "b_1_2_01_sums.ipynb", size=1_000_000)
    assert [len(content) for content in files.values()] == [1001]
    assert len(strays) == 1


def test_what_is_no_zip_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(CourseError, match="ZIP"):
        unpack(tmp_path / "x.zip", tmp_path, MASTERS)


def test_a_damaged_entry_costs_itself(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("a_1_2_01_sums.ipynb", "ruined" * 10)
        packed.writestr("b_1_2_01_sums.ipynb", "whole")
    path.write_bytes(path.read_bytes().replace(b"ruined", b"RUINED", 1))
    strays = unpack(path, tmp_path / "out", MASTERS)
    assert [stray.path for stray in strays] == ["a_1_2_01_sums.ipynb"]
    assert (tmp_path / "out/b_1/01_core/01_sums.ipynb").read_text() == "whole"
