"""The errors that MiniStack catches.

https://docker-py.readthedocs.io/en/stable/api.html#module-docker.errors
"""

from __future__ import annotations


class APIError(Exception):
    """A container cannot be started."""


class NotFound(APIError):
    """There is no such container."""


class ImageNotFound(NotFound):
    """There is no such image; never raised here."""
