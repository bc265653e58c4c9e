"""Small changes to an answer, each of which its tests have to notice: of its Python, and of the SQL in its strings."""

from autograder.lesson.mutate.model import Kind, Mutant
from autograder.lesson.mutate.python import mutants

__all__ = ["Kind", "Mutant", "mutants"]
