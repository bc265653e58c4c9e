"""A notebook's kernel without the wire: cells run in this process, and forks of it that can't outlive their time."""

from autograder.kernel.fork import Ending, Outcome, fork_each, require_fork
from autograder.kernel.record import Output
from autograder.kernel.session import CellResult, Session

__all__ = ["CellResult", "Ending", "Outcome", "Output", "Session", "fork_each", "require_fork"]
