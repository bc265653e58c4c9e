"""The book that publishes the course: its pages from the generated notebooks, built by Jupyter Book."""

from autograder.book.build import build_book
from autograder.book.serve import serve_book

__all__ = ["build_book", "serve_book"]
