"""Passing a request on as it came, and its answer back: what the proxies of this cloud share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from localcloud import alb

NO_HEADERS_OF_ITS_OWN = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


def a_session() -> aiohttp.ClientSession:
    """For requests that go on as they came: no cookies, nothing unpacked, no limits."""
    return aiohttp.ClientSession(
        auto_decompress=False,
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def pass_on(
    session: aiohttp.ClientSession,
    method: str,
    url: URL,
    headers: Iterable[tuple[str, str]],
    body: Any,
) -> aiohttp.ClientResponse:
    """The answer to a request with these headers and no others. Raises aiohttp.ClientError."""
    return await session.request(
        method,
        url,
        headers=CIMultiDict(headers),
        data=body,
        allow_redirects=False,
        skip_auto_headers=NO_HEADERS_OF_ITS_OWN,
    )


async def begin_answer(
    incoming: web.BaseRequest, answer: aiohttp.ClientResponse
) -> web.StreamResponse:
    """Send the status and the headers of the answer back; its body is left to the caller."""
    kept = [(k, v) for k, v in answer.headers.items() if k.lower() not in alb.HOP_BY_HOP]
    response = web.StreamResponse(
        status=answer.status, reason=answer.reason, headers=CIMultiDict(kept)
    )
    await response.prepare(incoming)
    return response
