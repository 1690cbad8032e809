"""What MiniStack's ECS uses of the package `docker`, with a local process for a container.

Stands before the real package on MiniStack's PYTHONPATH. The image is not run: its command is, with
HOST for the address on which it listens. A container has an address of its own in 127.0.1.0/24.

https://docker-py.readthedocs.io/en/stable/containers.html
"""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from tests.localstack.children import child

from . import errors

_ADDRESSES = itertools.cycle(f"127.0.1.{number}" for number in range(1, 255))


class Container:
    """A process, from its start to its removal."""

    def __init__(
        self, command: Sequence[str], environment: dict[str, str], name: str, labels: dict[str, str]
    ) -> None:
        self.id = uuid.uuid4().hex
        self.name = name
        self.labels = labels
        address = next(_ADDRESSES)
        self.attrs = {"NetworkSettings": {"Networks": {"bridge": {"IPAddress": address}}}}
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process)
        self._process = child(
            command,
            env={"PATH": os.environ["PATH"], **environment, "HOST": address},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    @property
    def status(self) -> str:
        return "running" if self._process.poll() is None else "exited"

    def reload(self) -> None:
        """Nothing: `status` is always of now."""

    def wait(self, **_: Any) -> dict[str, int]:
        """Wait for its end."""
        return {"StatusCode": self._process.wait()}

    def logs(self, *, stream: bool = False, **_: Any) -> bytes | Iterator[bytes]:
        """What it has written; as a stream nothing, so that MiniStack keeps no log of it."""
        if stream:
            return iter(())
        return os.pread(self._output.fileno(), os.fstat(self._output.fileno()).st_size, 0)

    def stop(self, timeout: float = 10, **_: Any) -> None:
        """SIGTERM, and SIGKILL after so many seconds."""
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self, **_: Any) -> None:
        """SIGKILL."""
        self._process.kill()

    def remove(self, **_: Any) -> None:
        """End it and forget it."""
        self.stop()
        DockerClient.containers.forget(self)


class Containers:
    """`client.containers`."""

    def __init__(self) -> None:
        self._known: dict[str, Container] = {}

    def run(
        self,
        image: str,
        command: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        name: str = "",
        labels: dict[str, str] | None = None,
        **_: Any,
    ) -> Container:
        """Start a container, whose image must name its command itself."""
        if not command:
            raise errors.APIError(f"{image} has no command, and images are not run here")
        container = Container(command, environment or {}, name, labels or {})
        self._known[container.id] = container
        return container

    def get(self, identity: str) -> Container:
        """NotFound if it has been removed."""
        if identity not in self._known:
            raise errors.NotFound(identity)
        return self._known[identity]

    def list(self, **_: Any) -> list[Container]:
        """All of them."""
        return [*self._known.values()]

    def forget(self, container: Container) -> None:
        """After its removal."""
        self._known.pop(container.id, None)


class Image:
    """Any image: each is there."""

    id = "sha256:" + "0" * 64

    def tag(self, *_: Any, **__: Any) -> bool:
        """Give it a name."""
        return True


class Images:
    """`client.images`."""

    def get(self, *_: Any, **__: Any) -> Image:
        """Any image is there."""
        return Image()

    pull = get_registry_data = get


class DockerClient:
    """The client, as far as MiniStack uses it."""

    containers = Containers()
    images = Images()


def from_env(**_: Any) -> DockerClient:
    """The client of this process."""
    return DockerClient()
