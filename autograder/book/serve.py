"""Shows the built book in a browser on this machine."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from autograder.book.build import html_folder, is_built
from autograder.course import Course, CourseError

LOOPBACK = "127.0.0.1"


class _Quiet(SimpleHTTPRequestHandler):
    """Answers without a line for every request."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def book_server(course: Course, port: int) -> ThreadingHTTPServer:
    """Return a server of the built book on the loopback address, not started yet; port 0 takes a free one.

    Raises CourseError where the book isn't built or the port is taken.
    """
    folder = html_folder(course)
    if not is_built(course):
        raise CourseError("the book is not built yet: run `make book`")
    try:
        return ThreadingHTTPServer((LOOPBACK, port), partial(_Quiet, directory=str(folder)))
    except OSError as error:
        raise CourseError(f"port {port} can't be used ({error.strerror}): name another with --port") from error


def serve_book(course: Course, port: int) -> None:
    """Serve the built book on the loopback address until interrupted, and print where.

    Raises CourseError where the book isn't built or the port is taken.
    """
    with book_server(course, port) as server:
        print(f"The book is at http://{LOOPBACK}:{server.server_port}/ (stop with Ctrl+C)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
