"""An AWS provider that seems to know few resource types, in front of one that knows all.

Terraform asks a provider for the schema of every type, reads all 1,500 of hashicorp/aws, and
forgets them when the command ends: 0.9 s of processor time of each command, as much as a plan of
the module needs besides. What serves here passes every call on as it came, and answers this one
with the schemas of some types. All else is the real provider's. Nothing is left out unseen:
Terraform refuses a type that it does not hear of.

The protocol: https://developer.hashicorp.com/terraform/plugin/terraform-plugin-protocol
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

SCHEMA = "/GetSchema"  # of tfplugin5.Provider; GetProviderSchema in version 6
BY_TYPE = (2, 3, 8)  # of its answer, the fields of resources, data sources and ephemeral resources
AT_ONCE = 64  # calls, of every Terraform that is attached: more wait
NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def serve(provider: str, types: Set[str], address: str) -> grpc.Server:
    """Serve at `address` what the provider at `provider` does, with the schemas of `types`.

    Both addresses are paths of Unix sockets. What is returned serves until it is stopped or let go.
    Raises RuntimeError where the address cannot be had.
    """
    channel = grpc.insecure_channel(f"unix:{provider}", options=NO_LIMIT)
    server = grpc.server(ThreadPoolExecutor(AT_ONCE), options=NO_LIMIT)
    server.add_generic_rpc_handlers([_Passing(channel, types)])
    server.add_insecure_port(f"unix:{address}")
    server.start()
    return server


def with_types(answer: bytes, types: Set[str]) -> bytes:
    """GetProviderSchema.Response without the schemas of other types; ValueError if it is none."""
    kept = b""
    for field, whole, value in fields(answer):
        if field in BY_TYPE:
            name = next(key for number, _, key in fields(value) if number == 1)
            if name.decode() not in types:
                continue
        kept += whole
    return kept


class _Passing(grpc.GenericRpcHandler):
    """Every call with one request and one answer; go-plugin does without its streams."""

    def __init__(self, channel: grpc.Channel, types: Set[str]) -> None:
        self._channel = channel
        self._types = types
        self._schema = functools.cache(self._read_schema)  # it is always the same

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        if method.startswith("/plugin."):
            return None
        if method.endswith(SCHEMA):
            return grpc.unary_unary_rpc_method_handler(lambda *_: self._schema(method))
        ask = self._asking(method)

        def passed_on(request: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                return ask(request)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details() or "")

        return grpc.unary_unary_rpc_method_handler(passed_on)

    def _read_schema(self, method: str) -> bytes:
        return with_types(self._asking(method)(b""), self._types)

    def _asking(self, method: str) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
        return self._channel.unary_unary(method, bytes, bytes)


def fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, bytes and value of each field; all that are asked for here hold bytes.

    https://protobuf.dev/programming-guides/encoding/
    """
    at = 0
    while at < len(message):
        start = at
        tag, at = _number(message, at)
        if tag & 7 != 2:
            raise ValueError(f"field {tag >> 3} of a provider's schema is no message")
        length, at = _number(message, at)
        value, at = message[at : at + length], at + length
        yield tag >> 3, message[start:at], value


def _number(message: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, seven bits in a byte, and where it ends."""
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
