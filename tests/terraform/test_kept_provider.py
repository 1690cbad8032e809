"""The provider that Terraform attaches to: the schemas of the types in use, all else as it is."""

from __future__ import annotations

import json

import grpc
import pytest

from tests.terraform import few_types, kept_provider

SERVICE = "/tfplugin5.Provider"

pytestmark = pytest.mark.terraform


@pytest.fixture(scope="module")
def whole() -> str:
    """A provider with all its types."""
    return kept_provider.started((), kept_provider.ROOT)


@pytest.fixture(scope="module")
def few() -> str:
    """The same with few."""
    return kept_provider.attached({}, kept_provider.ROOT)[kept_provider.ATTACHED]


def asked(attached: str, method: str, request: bytes = b"") -> bytes:
    """The provider's answer; grpc.RpcError if it gives none."""
    (provider,) = json.loads(attached).values()
    address = f"unix:{provider['Addr']['String']}"
    with grpc.insecure_channel(address, options=few_types.NO_LIMIT) as channel:
        return channel.unary_unary(f"{SERVICE}/{method}", bytes, bytes)(request)


def test_the_schemas_of_the_types_in_use_are_the_providers_own(whole: str, few: str) -> None:
    all_of_them, some = asked(whole, "GetSchema"), asked(few, "GetSchema")
    own = few_types.with_types(all_of_them, kept_provider.types_in_use())
    assert sorted(few_types.fields(some)) == sorted(few_types.fields(own))
    assert len(some) < len(all_of_them) / 20


def test_a_type_is_kept_with_all_that_the_provider_says_of_it() -> None:
    both = few_types.with_types(
        message(1, b"the provider's own") + resource(b"aws_sns_topic") + resource(b"aws_lb"),
        {"aws_lb"},
    )
    assert both == message(1, b"the provider's own") + resource(b"aws_lb")


@pytest.mark.parametrize("length", [0, 127, 128, 300, 70_000])
def test_messages_of_every_length_are_read(length: int) -> None:
    schema = resource(b"aws_lb", b"x" * length)
    assert few_types.with_types(schema + schema, {"aws_lb"}) == schema + schema


def test_what_is_no_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="field 3 of a provider's schema is no message"):
        few_types.with_types(b"\x18\x01", frozenset())


def test_an_error_of_the_provider_is_passed_on(whole: str, few: str) -> None:
    for provider in (whole, few):
        with pytest.raises(grpc.RpcError) as error:
            asked(provider, "NoSuchCall")
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "NoSuchCall" in str(error.value.details())


def test_the_types_in_use_are_those_of_code_and_tests() -> None:
    types = kept_provider.types_in_use()
    assert {"aws_lambda_function", "aws_ecs_service", "aws_caller_identity"} <= types
    assert "aws_sagemaker_" + "domain" not in types


def resource(name: bytes, schema: bytes = b"its schema") -> bytes:
    """An entry of `resource_schemas`."""
    return message(2, message(1, name) + message(2, schema))


def message(field: int, value: bytes) -> bytes:
    """A field that holds bytes, as the protocol writes it."""
    length, number = b"", len(value)
    while number > 0x7F:
        length, number = length + bytes([number & 0x7F | 0x80]), number >> 7
    return bytes([field << 3 | 2]) + length + bytes([number]) + value
