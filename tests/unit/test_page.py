"""The page as pure functions: its language, its words, its colours, and what stands in it."""

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
}
ASLEEP = {**WAKING, "phase": "asleep", "stage": None}
FAILED = {**ASLEEP, "failed": "no-capacity"}


def sent(
    status: dict[str, Any] = WAKING, page: dict[str, Any] | None = None, **values: object
) -> str:
    """The page for that status and those settings."""
    usual = {"name": "staging", "status_url": "/.warmkeeper/status", "nonce": "abc"}
    usual |= {"frame_url": "/.warmkeeper/page"}
    more = {"refresh_seconds": "5", "accept_language": "", "confirm": False, "status": status}
    return wk.render(TEMPLATE, TEXTS, page or {}, {**usual, **more, **values})


def shown(text: str) -> str:
    """What is to be read in it with scripts off, without the tags."""
    body = re.sub(r"(?s)<script.*?</script>", "", text.partition("<body>")[2])
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body)))


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
    text = sent(page={"texts": {lang: {"wake": "x"}}}, accept_language=lang)
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
    script = TEMPLATE.partition("<script")[2]
    keys = set(re.findall(r"\bT\.(\w+)", script)) | set(re.findall(r'"(\w+)"', script))
    keys |= {f"title_{state}" for state in ("waking", "ready", "asleep", "failed")}
    keys |= {f"after_{stage}" for stage in wk.STEPS[:-1]}
    keys |= {"asleep", "failed", "done", "now", *CLASSES, *wk.WRITTEN_ONCE}
    assert set(TEXTS["en"]) <= keys
    assert set(re.findall(r"\bT\.(\w+)", script)) <= set(TEXTS["en"]) - wk.WRITTEN_ONCE


def test_a_text_of_the_settings_replaces_ours_in_its_language_alone() -> None:
    page = {"texts": {"en": {"after_placed": "Hold the line."}}}
    assert "Hold the line." in shown(sent(page=page))
    assert "Hold the line." not in sent(page=page, accept_language="fr")


def test_a_language_of_the_settings_is_spoken_and_what_it_leaves_out_is_english() -> None:
    page = {"texts": {"de": {"after_placed": "Das Abbild wird geholt."}}}
    text = sent(page=page, accept_language="de-AT")
    assert '<html lang="de"' in text
    assert "Das Abbild wird geholt." in shown(text)
    assert "usually about 31 s" in shown(text)


def test_a_region_takes_what_it_leaves_out_from_its_language() -> None:
    page = {"texts": {"fr-CA": {"after_placed": "Ça s’en vient."}}}
    text = shown(sent(page=page, accept_language="fr-CA"))
    assert "Ça s’en vient." in text
    assert TEXTS["fr"]["by_itself"] in text


def test_a_text_that_is_null_is_ours() -> None:
    page = {"texts": {"en": {"after_placed": None}}}
    assert TEXTS["en"]["after_placed"] in shown(sent(page=page))


def test_a_language_of_the_settings_is_ours_whatever_the_case_of_its_tag() -> None:
    text = shown(sent(page={"texts": {"FR": {"after_placed": "Patience."}}}, accept_language="fr"))
    assert "Patience." in text
    assert TEXTS["fr"]["by_itself"] in text


# --- what it says ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("past", "estimate", "expected"),
    [
        (4.4, None, "4 s so far. There is no earlier start to compare with."),
        (12, 31.4, "12 s so far, usually about 31 s."),
        (31, 31, "31 s so far, usually about 31 s."),
        (32, 31, "32 s so far, longer than the usual 31 s. Still starting."),
        (63, 31, "63 s so far, much longer than the usual 31 s. If it cannot start"),
        (125, 120, "2 min 5 s so far, longer than the usual 2 min."),
    ],
)
def test_the_time_is_told_with_what_is_usual_and_honestly_beyond_it(
    past: float, estimate: float | None, expected: str
) -> None:
    assert wk.time_words(TEXTS["en"], past, estimate).startswith(expected)


@pytest.mark.parametrize("stage", [None, *wk.STEPS])
def test_the_stages_are_told_without_a_script_too(stage: str | None) -> None:
    text = sent({**WAKING, "stage": stage})
    items = re.findall(r'<li class="(\w*)">', text)
    reached = wk.STEPS.index(stage) + 1 if stage else 0
    under_way = ["now"] if reached < 5 else []
    assert items == (["done"] * reached + under_way + [""] * 5)[:5]


def test_of_what_is_not_remembered_it_claims_nothing_but_that_it_starts() -> None:
    text = sent({**WAKING, "phase": "unknown", "stage": "healthy", "live": True})
    assert TEXTS["en"]["after_none"] in shown(text)
    assert 'class="done"' not in text


@pytest.mark.parametrize("failed", sorted(CLASSES))
def test_a_failed_wake_is_told_with_its_reason_and_no_other(failed: str) -> None:
    text = shown(sent({**ASLEEP, "failed": failed}))
    assert TEXTS["en"]["failed"] in text
    assert [name for name in CLASSES if TEXTS["en"][name] in text] == [failed]
    assert TEXTS["en"]["given_up"] not in text


def test_a_class_that_the_page_does_not_know_is_told_as_not_ready() -> None:
    assert TEXTS["en"]["not-ready"] in shown(sent({**ASLEEP, "failed": "struck-by-lightning"}))


def test_a_wake_that_was_given_up_is_told_as_such_and_that_only_a_script_can_start_it() -> None:
    text = shown(sent({**FAILED, "given_up": True}))
    assert TEXTS["en"]["given_up"] in text
    assert TEXTS["en"]["needs_script"] in text


@pytest.mark.parametrize("confirm", [True, False])
def test_without_a_script_it_says_that_it_needs_one_where_it_does(confirm: bool) -> None:
    text = sent(ASLEEP, confirm=confirm)
    (told,) = re.findall(r"<noscript><p[^>]*>(.*?)</p></noscript>", text)
    assert (TEXTS["en"]["needs_script"] in told) is confirm
    assert "looks again every 5 s" in told
    assert f'data-confirm="{str(confirm).lower()}"' in text


# --- what stands in it -------------------------------------------------------------------------

EVIL = "</script></style><script>alert(1)</script>\"'&{{nonce}}<!--"


@given(st.text(max_size=40))
def test_no_value_can_end_the_element_that_it_stands_in(text: str) -> None:
    plain = sent({**FAILED, "failed": "x"})
    page = {"title": text + EVIL, "texts": {"en": {"failed": text + EVIL, "wake": text + EVIL}}}
    filled = sent({**FAILED, "failed": text + EVIL}, page, name=EVIL)
    tag = re.compile(r"<[a-z/!]+", re.I)
    assert tag.findall(filled) == tag.findall(plain)


def test_a_value_is_not_filled_in_once_more() -> None:
    assert "<h1>{{nonce}}</h1>" in sent(page={"title": "{{nonce}}"})


def test_what_the_script_is_given_is_what_the_status_and_the_texts_say() -> None:
    page = {"texts": {"en": {"wake": EVIL}}}
    text = sent({**FAILED, "failed": EVIL}, page)
    texts, status = (
        json.JSONDecoder().raw_decode(text.partition(f"const {name} = ")[2])[0]
        for name in ("T", "own")
    )
    assert texts["wake"] == EVIL
    assert status == {**FAILED, "failed": EVIL}


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


def contrast(one: str, other: str) -> float:
    dark, light = sorted((wk.luminance(one), wk.luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@given(st.from_regex(r"#[0-9a-fA-F]{6}", fullmatch=True))
def test_what_stands_on_the_accent_can_be_read_whatever_it_is(colour: str) -> None:
    assert contrast(colour, wk.readable_on(colour)) >= 4.5


def test_our_own_colours_can_be_read_in_both_schemes() -> None:
    light, dark = re.findall(r"--ground: (#\w+); --text: (#\w+); --quiet: (#\w+)", TEMPLATE)
    for (ground, *words), accent in ((light, wk.ACCENT), (dark, wk.ACCENT_DARK)):
        assert min(contrast(ground, word) for word in words) >= 4.5
        assert contrast(ground, accent) >= 3


def test_the_accents_of_the_settings_are_used_in_their_schemes() -> None:
    text = sent(page={"accent": "#0055aa", "accent_dark": "#88bbff"})
    assert "--accent:#0055aa;--on-accent:#ffffff" in text
    assert "--accent:#88bbff;--on-accent:#000000" in text
