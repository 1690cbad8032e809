"""`python -m localcloud`, as somebody meets it who has never seen it."""

from __future__ import annotations

import pytest

from localcloud.__main__ import main


def ends(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    """The exit code of the program with these arguments."""
    monkeypatch.setattr("sys.argv", ["localcloud", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_its_help_says_how_to_point_ones_own_tools_at_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(["--help"], monkeypatch) == 0
    told = capsys.readouterr().out
    for part in ("export AWS_ENDPOINT_URL=http://127.0.0.1:4566", "/_localcloud/", "README.md"):
        assert part in told


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--speed", "0"], "0 is not above 0"),
        (["--speed", "fast"], "invalid speed value: 'fast'"),
        (["--port", "http"], "invalid int value: 'http'"),
    ],
)
def test_what_it_cannot_run_with_it_refuses_in_a_sentence(
    arguments: list[str],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ends(arguments, monkeypatch) == 2
    assert why in capsys.readouterr().err
