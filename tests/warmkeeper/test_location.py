"""Where a 307 leads a client that asked through a proxy which strips or adds a path prefix.

`X-Forwarded-Prefix` makes Location relative. Three readings resolve it against the URL that the
client asked for: RFC 3986 (here), Python's urljoin, and WHATWG's (Node's URL).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urljoin

import pytest
import warmkeeper as wk
from hypothesis import assume, example, given
from hypothesis import strategies as st

SITE = "https://app.example.com"
SAFE_PATH = re.compile(r"[^\s<>\"\\^`{|}#?]*")

WORDS = ["/", "//", "\\", "http:", "javascript:", "evil.example", "a", "..", "%2e", "@", ":", "\t"]
PATHS = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=6).map("".join),
    st.text(st.sampled_from("/\\.%2F5cé:@;=&+ ~evil\t\r\n"), max_size=14),
    st.text(st.characters(codec="utf-8", exclude_characters="?#"), max_size=14),
).map(lambda text: "/" + text)
QUERIES = st.one_of(
    st.just(""),
    st.text(st.sampled_from("ab1=&%20+[]é/:@!'<>\\ ?.;"), min_size=1, max_size=10),
)
PREFIXES = st.sampled_from(["", "/stage", "/a/b.c", "/v1;x=1/y:z"])
EVIL = [
    "/http:evil.example",
    "/https:evil.example/",
    "/a/javascript:alert(1)",
    "//evil.example",
    "///evil.example/a",
    "//http:evil.example",
    "/\\evil.example",
    "/a/\\\\evil.example",
    "/\t/evil.example",
    "/a/\n//evil.example",
    "/%2F%2Fevil.example",
    "/a/%5C%5Cevil.example",
    "/..//evil.example",
    "/a/..",
    "/%2e%2e",
    "/a/ //evil.example",
    "/@evil.example",
    "/:80",
]


def relative(path: str, query: str = "") -> str:
    """The Location of a request that came with a prefix."""
    return wk.Request("GET", path, query, {"x-forwarded-prefix": "/stage"}).location


def asked(path: str, query: str = "") -> str:
    """Path and query as a client writes them that encodes what has no place in a URL."""
    written = wk.Request("GET", path, query).location
    # Of a path that begins with two slashes the client keeps both, which a Location cannot.
    return written.removeprefix("/.") if path.startswith("//") else written


def without_dots(path: str) -> str:
    """RFC 3986, 5.2.4, for a path that begins with a slash."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    folder = "/" if segments[-1] in (".", "..") and kept else ""
    return "/" + "/".join(kept) + folder


def resolved(base: str, reference: str) -> str:
    """RFC 3986, 5.2.2, for a base with authority and path."""
    # its appendix B
    parts = re.fullmatch(r"(([^:/?#]+):)?(//([^/?#]*))?([^?#]*)(\?([^#]*))?(#(.*))?", reference)
    assert parts
    scheme, authority, path, query = parts[1], parts[3], parts[5], parts[6] or ""
    assert (scheme, authority) == (None, None), "it names another site"
    site, _, rest = base.removeprefix("https://").partition("/")
    base_path, mark, base_query = ("/" + rest).partition("?")
    if path == "":
        return f"https://{site}{base_path}{query or mark + base_query}"
    merged = path if path.startswith("/") else base_path[: base_path.rindex("/") + 1] + path
    return f"https://{site}{without_dots(merged)}{query}"


@given(PREFIXES, PATHS, QUERIES)
@example("", "/a/..", "")
@example("/stage", "/", "q=1")
@example("", "//evil.example/a", "")
@example("", "/http:evil.example", "")
@example("", "/\\//..", "")
@example("", "/.//a", "")
def test_with_a_prefix_it_leads_back_to_the_url_that_was_asked_for(
    prefix: str, path: str, query: str
) -> None:
    path_asked, mark, query_asked = asked(path, query).partition("?")
    url = f"{SITE}{prefix}{path_asked}{mark}{query_asked}"
    end = resolved(url, relative(path, query))
    # `?query` keeps the dots of the folder, and a reference with a path resolves them
    expected = {prefix + path_asked, without_dots(prefix + path_asked)}
    assert end in {f"{SITE}{each}{mark}{query_asked}" for each in expected}
    # Python's own reading is that of the path-absolute reference, but that of slashes after one
    # another it keeps one: so a `..` behind them leads elsewhere.
    absolute = "/." * path_asked.startswith("//") * (not prefix) + url.removeprefix(SITE)
    joined = urljoin(url, relative(path, query))
    assert joined.startswith(f"{SITE}/")
    if not ("//" in path_asked and ".." in path_asked):
        assert one_slash(joined) in {one_slash(urljoin(url, absolute)), one_slash(url)}


def one_slash(url: str) -> str:
    """The URL with one slash in its path wherever there are more."""
    path, mark, query = url.removeprefix(SITE).partition("?")
    return re.sub("/{2,}", "/", path) + mark + query


@given(PATHS, QUERIES)
def test_a_relative_location_is_one_line_of_ascii_within_the_folder(path: str, query: str) -> None:
    reference, _, rest = relative(path, query).partition("?")
    assert SAFE_PATH.fullmatch(reference)
    assert (reference + rest).isascii()
    assert (reference + rest).isprintable()
    assert reference in ("", "./") or re.fullmatch(r"\./[^/]+", reference)


@dataclass(frozen=True)
class Url:
    """What WHATWG's parser makes of a URL; `origin` says it where that is none."""

    origin: str
    path: str
    query: str
    href: str


Parse = Callable[..., Url]
NODE = """
const lines = require("node:readline").createInterface({ input: process.stdin });
lines.on("line", (line) => {
  try {
    const { origin, pathname, search, href } = new URL(...JSON.parse(line));
    console.log(JSON.stringify([origin, pathname, search, href]));
  } catch (error) {
    console.log(JSON.stringify([`${error}`, "", "", ""]));
  }
});
"""


@pytest.fixture(scope="module")
def whatwg() -> Iterator[Parse]:
    """Node's `new URL(reference, base)`, one process for all."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on PATH: make tools")
    process = subprocess.Popen(
        [node, "-e", NODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def parse(*of: str) -> Url:
        stdin.write(json.dumps(of) + "\n")
        return Url(*json.loads(stdout.readline()))

    yield parse
    stdin.close()
    process.wait(10)
    stdout.close()


@given(PREFIXES, PATHS, QUERIES)
def test_a_browser_is_led_back_to_the_url_that_it_asked_for(
    whatwg: Parse, prefix: str, path: str, query: str
) -> None:
    url = whatwg(f"{SITE}{prefix}{path}" + (f"?{query}" if query else ""))
    sent = url.path.removeprefix(prefix)
    assume(url.path.startswith(f"{prefix}/"))  # else it climbed out of the prefix before it asked
    end = whatwg(relative(sent, url.query.removeprefix("?")), url.href)
    assert end.origin == SITE
    # the Location may encode more than a browser does
    assert end.path.count("/") == url.path.count("/")
    assert unquote_to_bytes(end.path) == unquote_to_bytes(url.path)
    assert unquote_to_bytes(end.query) == unquote_to_bytes(url.query)


@given(prefix=PREFIXES, path=PATHS, query=QUERIES)
@example(prefix="", path="/javascript:alert(1)", query="")
def test_no_relative_location_leads_a_browser_off_the_site(
    whatwg: Parse, prefix: str, path: str, query: str
) -> None:
    """Whatever the path, and whatever page of the site it is resolved against."""
    assert whatwg(relative(path, query), f"{SITE}{prefix}/a/b?c").origin == SITE
    assert whatwg(relative(path, query), SITE).origin == SITE


@pytest.mark.parametrize("path", EVIL)
def test_a_path_made_to_lead_elsewhere_stays_on_the_site_behind_a_prefix(
    whatwg: Parse, path: str
) -> None:
    for base in (f"{SITE}/stage{asked(path)}", f"{SITE}/a", SITE):
        reference = relative(path)
        assert whatwg(reference, base).origin == SITE
        assert urljoin(base, reference).startswith(f"{SITE}/")
        assert resolved(f"{base}/", reference).startswith(f"{SITE}/")


def test_each_kind_of_path_has_its_reference() -> None:
    expected = {
        ("/a/b", ""): "./b",
        ("/a/b", "x=1"): "./b?x=1",
        ("/a/", ""): "./",
        ("/a/", "q=1"): "?q=1",
        ("/", ""): "./",
        ("/a/b:c", ""): "./b:c",
        ("/a/x%2Fy", ""): "./x%2Fy",
        ("//evil.example/a", ""): "./a",
        ("/a/..", ""): "./..",
        ("/a\\b", ""): "./a%5Cb",
    }
    assert {asked: relative(*asked) for asked in expected} == expected


@pytest.mark.parametrize("prefix", [None, "", "/", " / ", "/, /"])
def test_without_a_prefix_it_is_path_absolute(prefix: str | None) -> None:
    headers = {} if prefix is None else {"x-forwarded-prefix": prefix}
    assert wk.Request("GET", "/a/b", "x=1", headers).location == "/a/b?x=1"
