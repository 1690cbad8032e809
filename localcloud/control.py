"""The parts' way to the control plane: the public AWS API, as the real services' insides use it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

REGION = "us-east-1"
ACCOUNT = "123456789012"
CALLER = "localcloud"


class Control:
    """Calls to moto itself, or through the gateway where other parts must hear of them."""

    def __init__(self) -> None:
        """The URLs are known when moto and the gateway listen."""
        self.moto_url = ""
        self.gateway_url = ""
        self._clients: dict[tuple[str, str], Any] = {}
        self._threads = ThreadPoolExecutor(max_workers=64, thread_name_prefix="control")

    def client(self, service: str, *, through_gateway: bool = False) -> Any:
        """The boto3 client of `service`, made once; its calls block."""
        url = self.gateway_url if through_gateway else self.moto_url
        key = (service, url)
        if key not in self._clients:
            make: Any = boto3.client  # the stubs want a literal name
            self._clients[key] = make(
                service,
                endpoint_url=url,
                region_name=REGION,
                aws_access_key_id=CALLER,
                aws_secret_access_key=CALLER,
                config=Config(retries={"total_max_attempts": 1}, max_pool_connections=64),
            )
        return self._clients[key]

    async def call(
        self, service: str, method: str, *, through_gateway: bool = False, **arguments: Any
    ) -> dict[str, Any]:
        """One API call, for example `call("ecs", "list_tasks", cluster="c")`.

        Raises botocore's ClientError as boto3 does.
        """
        client = self.client(service, through_gateway=through_gateway)
        loop = asyncio.get_running_loop()
        reply: dict[str, Any] = await loop.run_in_executor(
            self._threads, lambda: getattr(client, method)(**arguments)
        )
        reply.pop("ResponseMetadata", None)
        return reply

    async def pages(
        self, service: str, method: str, key: str, **arguments: Any
    ) -> list[dict[str, Any]]:
        """Everything that `method` lists under `key`, all pages, from moto itself."""
        client = self.client(service)

        def collect() -> list[dict[str, Any]]:
            pages = client.get_paginator(method).paginate(**arguments)
            return [item for page in pages for item in page.get(key, [])]

        return await asyncio.get_running_loop().run_in_executor(self._threads, collect)

    def close(self) -> None:
        """Let go of the threads; calls under way are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
