"""AWS: moto's server in a thread of this process."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any

from autograder.course import CourseError
from autograder.notebook.services.handle import Finding, Handle, Kind
from autograder.notebook.services.server import running

REGION = "us-east-1"
MISSING = "`pip install 'moto[dynamodb,s3,sqs]' boto3 flask flask-cors`"
# What a WSGI application is called with, and returns.
Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class Cloud(Handle):
    """An AWS account that holds nothing yet, at the endpoint `url`. Closing it empties it."""

    def __init__(self, server: Embedded) -> None:
        """Stand for the account of a server."""
        super().__init__(server.url)
        self._server = server

    @property
    def settings(self) -> dict[str, str]:
        """What boto3's `client`, `resource` and `Session.client` need to find it."""
        return {
            "endpoint_url": self.url,
            "region_name": REGION,
            "aws_access_key_id": self._server.key,
            "aws_secret_access_key": "unused",
        }

    def client(self, service: str, **options: Any) -> Any:
        """Return a boto3 client of a service: `client("s3")`."""
        import boto3

        return boto3.client(service, **{**self.settings, **options})

    def resource(self, service: str, **options: Any) -> Any:
        """Return a boto3 resource of a service: `resource("dynamodb")`."""
        import boto3

        return boto3.resource(service, **{**self.settings, **options})

    def clear(self) -> None:
        """Remove everything."""
        import urllib.request

        request = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")
        request.add_header("Authorization", self._server.key)
        urllib.request.urlopen(request).close()

    def close(self) -> None:
        """Empty it."""
        self.clear()
        super().close()


class Embedded:
    """The server in this process. It serves those alone who know its random access key."""

    alive = True

    def __init__(self) -> None:
        """Start it. Raises CourseError where moto isn't installed."""
        try:
            from moto.moto_server.werkzeug_app import (
                DomainDispatcherApplication,
                MotoRequestHandler,
                create_backend_app,
            )
            from werkzeug.serving import make_server
        except ImportError as error:
            raise CourseError(f"no AWS is installed here: {MISSING}") from error
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of every request
        self.key = f"AKIA{secrets.token_hex(8).upper()}"
        application = _guarded(DomainDispatcherApplication(create_backend_app), self.key)
        server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, name="aws", daemon=True).start()


def create() -> Cloud:
    """Return the account of this process's server, emptied. Raises CourseError where moto isn't installed."""
    cloud = Cloud(running(Embedded))
    cloud.clear()
    return cloud


def find() -> Finding:
    """Return how AWS is there."""
    if find_spec("moto") and find_spec("boto3") and find_spec("flask_cors"):
        return Finding(Kind.STAND_IN, "moto: AWS's interface with its state in memory")
    return Finding(Kind.MISSING, MISSING)


def _guarded(application: Application, key: str) -> Application:
    """Return an application that refuses whoever doesn't sign with `key`, in a header or in the address."""

    def guarded(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        if key in environ.get("HTTP_AUTHORIZATION", "") or key in environ.get("QUERY_STRING", ""):
            return application(environ, start)
        start("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"sign requests with the credentials of services.aws()"]

    return guarded
