"""`python -m ops.probe URL` ends with 0 when a GET of the URL is answered with 200: a container's health check."""

from __future__ import annotations

import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

PATIENCE = 2.0


def status(url: str) -> int | None:
    """What the URL is answered with; None when nobody answers in time."""
    place = urlsplit(url)
    connection = HTTPConnection(place.hostname or "127.0.0.1", place.port, timeout=PATIENCE)
    try:
        connection.request("GET", place.path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if status(sys.argv[1]) == 200 else 1)
