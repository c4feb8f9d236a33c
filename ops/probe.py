"""A container's health check: `python -m ops.probe URL` exits with 0 when a GET of the URL returns 200."""

from __future__ import annotations

import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

TIMEOUT = 2.0


def status(url: str) -> int | None:
    """The status of a GET of the URL; None without an answer in time."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=TIMEOUT)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if status(sys.argv[1]) == 200 else 1)
