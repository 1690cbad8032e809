"""The page as it is sent: its language, its one line, its colours, and what stands in it."""

from __future__ import annotations

import html
import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import warmkeeper as wk
from hypothesis import given
from hypothesis import strategies as st

FOLDER = Path(wk.__file__).parent
TEMPLATE = (FOLDER / "page.html").read_text(encoding="utf-8")
TEXTS: dict[str, dict[str, str]] = json.loads((FOLDER / "texts.json").read_text(encoding="utf-8"))
CLASSES = {"not-ready", "crash-loop", *(kind for _, kind in wk.FAILURES)}
WAKING = {
    "name": "staging",
    "phase": "waking",
    "seconds": 12.3,
    "live": False,
    "stage": "placed",
    "estimate_seconds": 31.0,
    "failed": None,
    "given_up": False,
    "closed_until": None,
}
ASLEEP = {**WAKING, "phase": "asleep", "stage": None}
FAILED = {**ASLEEP, "failed": "no-capacity"}


def sent(
    status: dict[str, Any] = WAKING,
    page: dict[str, Any] | None = None,
    *,
    accept_language: str = "",
    confirm: bool = False,
    location: str = "/",
) -> str:
    """The page for that status and those settings."""
    return wk.render(
        page or {},
        status,
        accept_language=accept_language,
        confirm=confirm,
        location=location,
        refresh_seconds="5",
        nonce="abc",
        status_url="/.warmkeeper/status",
    )


def line(text: str) -> str:
    """The line that says how it is until the script runs."""
    (found,) = re.findall(r'<p id="words" role="status">(.*?)</p>', text)
    return html.unescape(found)


def in_the_script(text: str, name: str) -> Any:
    """A value that the script is given."""
    return json.JSONDecoder().raw_decode(text.partition(f"const {name} = ")[2])[0]


# --- the language ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("", "en"),
        ("en", "en"),
        ("fr", "fr"),
        ("FR", "fr"),
        ("fr-CH", "fr"),  # a region that is not there: its language
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr"),
        ("en-GB,en;q=0.9,fr;q=0.8", "en"),
        ("en;q=0.5, fr;q=0.8", "fr"),  # by weight, not by place
        ("en;q=0.8, fr;q=0.8", "en"),  # by place where the weights are the same
        ("fr ; q=0.2 , en ; q=0.1", "fr"),
        ("es, fr;q=0.1", "fr"),
        ("es", "en"),
        ("*", "en"),
        ("es, *;q=0.5", "en"),
        ("*, fr;q=0.5", "en"),
        ("fr;q=0", "en"),
        ("en;q=0, fr;q=0.1", "fr"),
        ("fr;q=0, fr-FR", "en"),  # refused, also by way of a region
        ("en;q=0", "en"),  # something has to be sent
        ("fr;q=2", "en"),  # no weight
        ("fr;q=", "en"),
        ("fr;q=0.1234", "en"),
        ("fr;level=1", "en"),
        (";;,,q=1,-", "en"),
        ("pt", "pt-BR"),  # the only Portuguese that there is
        ("pt-BR", "pt-BR"),
        ("pt-br", "pt-BR"),
        ("pt-PT", "en"),
        ("zh-Hant-TW", "zh-Hant"),
        ("zh-Hans-CN, fr;q=0.5", "fr"),
        ("ar-EG", "ar"),
        ("arx", "en"),  # a longer word is another language
        ("i", "en"),
    ],
)
def test_the_language_follows_accept_language(accepted: str, expected: str) -> None:
    assert wk.language(accepted, ["ar", "en", "fr", "pt-BR", "zh-Hant"]) == expected


@given(st.text("enfrENFR-,;=q.01* é", max_size=40))
def test_whatever_is_accepted_the_language_is_one_that_is_offered(accepted: str) -> None:
    assert wk.language(accepted, TEXTS) in TEXTS


def test_a_tag_as_long_as_a_header_is_not_taken_apart_for_megabytes() -> None:
    tracemalloc.start()
    assert wk.language("fr" + "-x" * 8000, TEXTS) == "fr"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("lang", "direction"), [("en", "ltr"), ("ar", "rtl"), ("he-IL", "rtl"), ("arx", "ltr")]
)
def test_the_page_says_its_language_and_the_direction_of_it(lang: str, direction: str) -> None:
    text = sent(page={"texts": {lang: TEXTS["en"]}}, accept_language=lang)
    assert f'<html lang="{lang}" dir="{direction}">' in text


# --- the texts ---------------------------------------------------------------------------------


def test_every_language_has_every_text_and_every_placeholder() -> None:
    for words in TEXTS.values():
        assert words.keys() == TEXTS["en"].keys()
        for key, text in words.items():
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", TEXTS["en"][key]))


def test_every_class_of_failure_has_words_of_its_own_in_every_language() -> None:
    for words in TEXTS.values():
        assert words.keys() >= CLASSES
        assert len({words[name] for name in CLASSES}) == len(CLASSES)


def test_every_text_is_used_and_no_other() -> None:
    markup, _, script = TEMPLATE.partition("<script")
    named = set(re.findall(r"\bT\.(\w+)", script))
    stages = re.findall(r'"(\w+)"', script.partition("const STAGES = ")[2].partition("]")[0])
    keys = named | set(stages)
    keys |= {f"title_{state}" for state in ("waking", "ready", "asleep", "failed")}
    keys |= {f"after_{stage}" for stage in ["database", *stages[:-1]]}
    keys |= set(re.findall(r"{{(\w+)}}", markup)) & set(TEXTS["en"])
    keys |= {"asleep", "failed", "first", "usual", "over", "far_over", "done", "now"}
    keys |= {"needs_script", *CLASSES}
    assert set(TEXTS["en"]) == keys


def test_a_language_has_room_in_the_settings_item() -> None:
    """Variable page counts 3,000 bytes for each language of `texts`, which is stored whole."""
    for words in TEXTS.values():
        assert len(json.dumps(words, ensure_ascii=False).encode()) < 3000


def test_a_language_of_the_settings_stands_in_the_place_of_ours() -> None:
    page = {"texts": {"en": {**TEXTS["en"], "after_none": "Hold the line."}}}
    assert line(sent(page=page)) == "Hold the line."
    assert line(sent(page=page, accept_language="fr")) == TEXTS["fr"]["after_none"]


def test_a_language_that_is_only_in_the_settings_is_spoken() -> None:
    page = {"texts": {"de": {**TEXTS["en"], "after_none": "Unterwegs."}}}
    text = sent(page=page, accept_language="de-AT")
    assert '<html lang="de"' in text
    assert line(text) == "Unterwegs."


def test_a_language_of_the_settings_is_ours_whatever_the_case_of_its_tag() -> None:
    page = {"texts": {"FR": {**TEXTS["fr"], "after_none": "Patience."}}}
    assert line(sent(page=page, accept_language="fr")) == "Patience."


def of_the_script(words: dict[str, str]) -> dict[str, str]:
    """The texts without those that only the page itself has."""
    return {name: text for name, text in words.items() if name not in wk.OUTSIDE_SCRIPT}


def test_a_text_that_the_settings_do_not_have_yet_is_english() -> None:
    page = {"texts": {"de": {"after_none": "Unterwegs."}}}
    text = sent(page=page, accept_language="de")
    assert in_the_script(text, "T") == of_the_script({**TEXTS["en"], "after_none": "Unterwegs."})


# --- what it says ------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [None, "asked", "healthy"])
@pytest.mark.parametrize("phase", ["waking", "unknown"])
def test_while_it_starts_it_says_so(phase: str, stage: str | None) -> None:
    text = sent({**WAKING, "phase": phase, "stage": stage})
    assert line(text) == "It is on its way."


@pytest.mark.parametrize("phase", ["awake", "drowsy"])
def test_when_it_is_ready_it_says_so(phase: str) -> None:
    assert line(sent({**WAKING, "phase": phase})) == "It is ready. Opening it now."


@pytest.mark.parametrize("failed", sorted(CLASSES))
def test_a_failed_wake_is_told_with_its_reason_and_no_other(failed: str) -> None:
    text = line(sent({**ASLEEP, "failed": failed}))
    assert text == f"It could not be started. {TEXTS['en'][failed]}"


def test_a_class_that_the_page_does_not_know_is_told_as_not_ready() -> None:
    text = line(sent({**ASLEEP, "failed": "struck-by-lightning"}))
    assert text == "It could not be started. It was not ready in time."


def test_a_wake_that_was_given_up_is_told_as_such_and_that_only_a_script_can_start_it() -> None:
    assert line(sent({**FAILED, "given_up": True})) == (
        "It could not be started. There was no free place to run it. "
        "It is not tried again by itself. Only with JavaScript can this page start it."
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (ASLEEP, "It is asleep."),
        (FAILED, "It could not be started. There was no free place to run it."),
    ],
)
def test_it_says_that_it_needs_a_script_where_a_request_wakes_nothing(
    status: dict[str, Any], expected: str
) -> None:
    needs = "Only with JavaScript can this page start it."
    assert line(sent(status)) == expected
    confirming = sent(status, confirm=True)
    assert line(confirming) == f"{expected} {needs}"
    assert 'data-confirm="true"' in confirming


def test_without_a_script_nothing_but_the_line_and_what_is_hidden_is_on_the_page() -> None:
    body = TEMPLATE.partition("<body>")[2].partition("<script")[0]
    visible = re.sub(r'(?s)<div class="going">.*?</div>|<button[^>]*hidden></button>', "", body)
    words = re.findall(r">\s*([^<>\s][^<>]*?)\s*<", visible)
    assert words == ["{{logo}}", "{{title}}", "{{words}}"]


def test_without_a_script_it_loads_the_url_again_that_was_asked_for() -> None:
    text = sent(location="/a/b?x=1&y='%22;%3C&url=z")
    (again,) = re.findall(
        r'<noscript><meta http-equiv="refresh" content="([^"]*)"></noscript>', text
    )
    assert html.unescape(again) == "5;url=/a/b?x=1&y='%22;%3C&url=z"


# --- what stands in it -------------------------------------------------------------------------

EVIL = "</script></style><script>alert(1)</script>\"'&{{nonce}}<!--"


@given(st.text(max_size=40))
def test_no_value_can_end_the_element_that_it_stands_in(text: str) -> None:
    plain = sent({**FAILED, "failed": "x"})
    words = {**TEXTS["en"], "failed": text + EVIL, "wake": text + EVIL}
    page = {"title": text + EVIL, "texts": {"en": words}}
    status = {**FAILED, "failed": text + EVIL, "name": EVIL}
    filled = sent(status, page, location=text + EVIL)
    tag = re.compile(r"<[a-z/!]+", re.I)
    assert tag.findall(filled) == tag.findall(plain)


def test_a_value_is_not_filled_in_once_more() -> None:
    assert "<h1>{{nonce}}</h1>" in sent(page={"title": "{{nonce}}"})


def test_what_the_script_is_given_is_what_the_status_and_the_texts_say() -> None:
    words = {**TEXTS["en"], "wake": EVIL}
    text = sent({**FAILED, "failed": EVIL}, {"texts": {"en": words}})
    assert in_the_script(text, "T") == of_the_script(words)
    assert in_the_script(text, "initial") == {**FAILED, "failed": EVIL}


def test_the_settings_own_page_is_sent_with_its_names_filled_in_and_not_otherwise_changed() -> None:
    own = "<!-- // ours -->\n  <h1>{{title}}</h1>{{retry}} {{nonce}} {{vue}} {{ title }}\n"
    assert sent(page={"title": "A & B", "html": own}) == (
        "<!-- // ours -->\n  <h1>A &amp; B</h1>Try again abc {{vue}} {{ title }}\n"
    )


def test_a_logo_is_shown_only_where_there_is_one() -> None:
    assert "<img" not in sent()
    picture = "data:image/png;base64,AAAA"
    assert f'<img src="{picture}" alt="">' in sent(page={"logo_data_uri": picture})


# --- the colours -------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Relative luminance of a #rrggbb: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_our_own_colours_can_be_read_in_both_schemes() -> None:
    light, dark = re.findall(r"--ground: (#\w+); --text: (#\w+); --quiet: (#\w+)", TEMPLATE)
    for (ground, *words), accent in ((light, "accent"), (dark, "accent_dark")):
        assert min(contrast(ground, word) for word in words) >= 4.5
        assert contrast(ground, wk.COLOURS[accent]) >= 3
        assert contrast(wk.COLOURS[accent], wk.COLOURS[f"on_{accent}"]) >= 4.5


def test_the_colours_of_the_settings_are_used_in_their_schemes() -> None:
    colours = {
        "accent": "#0055aa",
        "on_accent": "#ffffff",
        "accent_dark": "#88bbff",
        "on_accent_dark": "#000000",
    }
    light, dark = re.findall(
        r"--accent: (\S+); --on-accent: (\S+);", sent(page={"colours": colours})
    )
    assert light == ("#0055aa", "#ffffff")
    assert dark == ("#88bbff", "#000000")
