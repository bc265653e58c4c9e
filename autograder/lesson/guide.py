"""The manifest of the course, `lessons/guide.toml`, as data."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.course import Course, CourseError


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the guide; its lesson has to explain each of its terms."""

    id: str
    title: str
    terms: tuple[str, ...]

    @property
    def slug(self) -> str:
        """The last part of the id, as exercises name the topic."""
        return self.id.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Subsection:
    """A group of topics."""

    id: str
    title: str
    topics: tuple[Topic, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One lesson as the manifest lists it."""

    folder: str
    file: str
    topics: tuple[Topic, ...]
    requires: tuple[str, ...]

    @property
    def id(self) -> str:
        """The lesson's path under every root, without its ending: `01_core_python/01_async`."""
        return f"{self.folder}/{self.file}"

    @property
    def name(self) -> str:
        """The short name that people type: `async` for `01_async`."""
        return short_name(self.file)


@dataclass(frozen=True, slots=True)
class Section:
    """One of the guide's sections with its lessons in teaching order."""

    id: str
    number: int
    title: str
    folder: str
    subsections: tuple[Subsection, ...]
    lessons: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """The short name that people type: `core_python` for `01_core_python`."""
        return short_name(self.folder)

    @property
    def topics(self) -> tuple[Topic, ...]:
        """The topics of all subsections, in order."""
        return tuple(topic for subsection in self.subsections for topic in subsection.topics)


@dataclass(frozen=True, slots=True)
class Guide:
    """The whole manifest."""

    sections: tuple[Section, ...]
    checklist: tuple[dict[str, Any], ...]
    resources: tuple[dict[str, Any], ...]

    @property
    def lessons(self) -> tuple[Entry, ...]:
        """Every lesson of the course in teaching order."""
        return tuple(entry for section in self.sections for entry in section.lessons)

    def select(self, name: str | None) -> tuple[Entry, ...]:
        """Return the lessons that `name` means: all for None, else a section's or one lesson.

        A section goes by number, folder or short name, a lesson by id, file or short name.
        Raises CourseError, with what there is, for a name that means nothing.
        """
        if name is None:
            return self.lessons
        wanted = name.strip("/").removesuffix(".ipynb").removesuffix(".py")
        sections = [
            section
            for section in self.sections
            if wanted in (str(section.number), section.folder, section.name, section.id)
        ]
        lessons = [entry for entry in self.lessons if wanted in (entry.id, entry.file, entry.name)]
        if len(sections) + len(lessons) > 1:
            meant = [*(section.folder for section in sections), *(entry.id for entry in lessons)]
            raise CourseError(f"{name!r} has several meanings: say {' or '.join(meant)}")
        if sections and not sections[0].lessons:
            raise CourseError(f"section {sections[0].folder} has no lessons yet")
        if sections or lessons:
            return sections[0].lessons if sections else tuple(lessons)
        known = ", ".join(entry.name for entry in self.lessons)
        raise CourseError(f"no section or lesson is called {name!r}; the lessons are: {known}")


def short_name(numbered: str) -> str:
    """Return a numbered file or folder name without its number: `async` for `01_async`."""
    number, _, rest = numbered.partition("_")
    return rest if number.isdigit() and rest else numbered


def load_guide(course: Course) -> Guide:
    """Read the course's manifest.

    Raises CourseError where it isn't TOML, lacks a key, or a lesson claims a topic that no section has.
    """
    try:
        data = tomllib.loads(course.manifest.read_text(encoding="utf-8"))
        sections = tuple(_sections(data))
        return Guide(sections, tuple(data["checklist"]), tuple(data["resources"]))
    except tomllib.TOMLDecodeError as error:
        raise CourseError(f"{_shown(course)}: not TOML: {error}") from error
    except KeyError as error:
        raise CourseError(f"{_shown(course)}: the key {error} is missing") from error
    except UnknownTopicError as error:
        line = _line_of(course.manifest, error.topic)
        raise CourseError(f"{_shown(course)}:{line}: no section of the guide has the topic {error.topic!r}") from error


class UnknownTopicError(Exception):
    """A lesson claims a topic that the guide doesn't have."""

    def __init__(self, topic: str) -> None:
        super().__init__(topic)
        self.topic = topic


def _sections(data: dict[str, Any]) -> Iterator[Section]:
    """Yield the sections of the parsed manifest."""
    topics: dict[str, Topic] = {}
    parsed: list[tuple[dict[str, Any], tuple[Subsection, ...]]] = []
    for section in data["section"]:
        subsections = tuple(
            Subsection(
                sub["id"],
                sub["title"],
                tuple(Topic(topic["id"], topic["title"], tuple(topic["terms"])) for topic in sub["topics"]),
            )
            for sub in section["subsection"]
        )
        topics |= {topic.id: topic for subsection in subsections for topic in subsection.topics}
        parsed.append((section, subsections))
    # Lessons come after: one may teach a topic of another section.
    for section, subsections in parsed:
        lessons = tuple(_entry(section["folder"], lesson, topics) for lesson in section.get("lesson", ()))
        yield Section(section["id"], section["number"], section["title"], section["folder"], subsections, lessons)


def _entry(folder: str, lesson: dict[str, Any], topics: dict[str, Topic]) -> Entry:
    """Return one lesson of the manifest with its topics looked up."""
    for topic in lesson["topics"]:
        if topic not in topics:
            raise UnknownTopicError(topic)
    return Entry(
        folder, lesson["file"], tuple(topics[topic] for topic in lesson["topics"]), tuple(lesson.get("requires", ()))
    )


def _shown(course: Course) -> Path:
    """Return the manifest's path as messages show it."""
    return course.manifest.relative_to(course.root)


def _line_of(path: Path, text: str) -> int:
    """Return the 1-based number of the last line of `path` that holds `text`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return max(number for number, line in enumerate(lines, start=1) if text in line)
