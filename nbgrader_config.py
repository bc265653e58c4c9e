"""What stock nbgrader commands, Formgrader and the Validate button need to know of this repository."""

from pathlib import Path

from autograder.environment import add_tools_to_path
from autograder.lesson.pipeline import RELEASE

c = get_config()  # noqa: F821 - traitlets puts it here

add_tools_to_path()  # a new gradebook asks the command alembic for its version

root = Path(__file__).resolve().parent
grading = root / "grading"
grading.mkdir(exist_ok=True)

c.CourseDirectory.root = str(root)
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "notebooks"
c.CourseDirectory.submitted_directory = "grading/submitted"
c.CourseDirectory.autograded_directory = "grading/autograded"
c.CourseDirectory.feedback_directory = "grading/feedback"
c.CourseDirectory.db_url = f"sqlite:///{grading / 'gradebook.db'}"

c.GenerateAssignment.preprocessors = RELEASE
