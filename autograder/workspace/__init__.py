"""The learner's copy of the lessons in `work/`: take it, update it, give a stub back. Nothing typed is lost."""

from autograder.workspace.copies import Report, Reset, State, Taken, Updated, reset, take, update

__all__ = ["Report", "Reset", "State", "Taken", "Updated", "reset", "take", "update"]
