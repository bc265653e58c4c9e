"""Submissions of every kind, each with the points that it gets and why it is flagged."""

from tests.integration.corpus import damaged, faults, honest, tampering  # noqa: F401 - they add their cases
from tests.integration.corpus.book import CASES, Book, Case

__all__ = ["CASES", "Book", "Case"]
