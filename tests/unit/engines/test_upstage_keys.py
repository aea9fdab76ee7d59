from __future__ import annotations

import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.engines.upstage_keys import keys_of_secret, parse_keys, without_keys
from ocrlabel.errors import ConfigError


def rates(keys):
    return [(key.secret, key.requests_per_s, key.pages_per_minute) for key in keys]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("up_a", [("up_a", 7, 700)]),
        (" up_a@3 , up_b@0.5 ", [("up_a", 3, 300), ("up_b", 0.5, 300)]),
        ("up_a@3/600,up_b", [("up_a", 3, 600), ("up_b", 7, 700)]),
    ],
)
def test_keys_carry_their_own_rates(text, expected):
    assert rates(parse_keys(text, 7)) == expected


@pytest.mark.parametrize(
    "value",
    [
        "up_a@3,up_b@1",
        '"up_a@3,up_b@1"',
        {"UPSTAGE_API_KEY": "up_a@3,up_b@1"},
        {"UPSTAGE_API_KEYS": ["up_a@3", "up_b@1"]},
        ["up_a@3", {"key": "up_b", "requests_per_s": 1}],
        {"keys": [{"key": "up_a", "requests_per_s": 3}, {"key": "up_b", "requests_per_s": 1}]},
    ],
)
def test_a_secret_may_be_written_in_any_usual_way(value):
    text = value if isinstance(value, str) else json.dumps(value)
    assert rates(keys_of_secret(text)) == [("up_a", 3, 300), ("up_b", 1, 300)]


def test_a_key_is_named_alike_wherever_it_stands():
    one, two = parse_keys("up_a,up_b"), parse_keys("up_b@2")
    assert one[1].name == two[0].name != one[0].name


def test_a_key_knows_where_the_user_finds_it():
    assert [key.place for key in parse_keys("up_a,up_b@2")] == [
        "key 1 of 2 in UPSTAGE_API_KEYS",
        "key 2 of 2 in UPSTAGE_API_KEYS",
    ]
    assert parse_keys("up_a", where="UPSTAGE_API_KEY")[0].place == "UPSTAGE_API_KEY"
    listed = keys_of_secret('["up_a", {"key": "up_b"}]', where="AWS_SECRET_ARN")
    assert listed[1].place == "key 2 of 2 in AWS_SECRET_ARN"


@pytest.mark.parametrize(
    "text",
    [
        "", ",", "up_SECRET,,up_b", "up_SECRET@", "up_SECRET@0", "up_SECRET@-1", "up_SECRET@nan", "up_SECRET@inf",
        "up_SECRET@three", "a@up_SECRET", "up SECRET", "up_SECRET\nx", "up_SECRETé", "up_SECRET@3/", "up_SECRET,up_SECRET@2",
        '{"UPSTAGE_API_KEY": "up_SECRET', '{"nothing": "up_SECRET"}', "[]", '[{"key": 5, "x": "up_SECRET"}]', '{"key": "up_SECRET", "requests_per_s": "x"}',
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_in_one_sentence_without_the_key(text):
    with pytest.raises(ConfigError) as caught:
        keys_of_secret(text)
    assert "SECRET" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_shows_in_no_repr():
    assert "SECRET" not in repr(parse_keys("up_SECRET")) + repr(parse_keys("up_SECRET")[0].lane)


@given(st.text(max_size=30))
def test_any_secret_is_keys_or_a_config_error(text):
    try:
        keys = keys_of_secret(text)
    except ConfigError:
        return
    assert keys


def test_pages_that_nobody_gave_go_with_the_requests_and_given_ones_do_not():
    default, given = parse_keys("up_a@30,up_b@30/300")
    assert (default.lane.pages_per_minute, default.lane.pages_follow) == (3000, True)
    assert (given.lane.pages_per_minute, given.lane.pages_follow) == (300, False)


@pytest.mark.parametrize(
    "text",
    [
        "your-api-key-here", "YOUR_API_KEY", "your_upstage_api_key", "up_your_key", "up_...", "up_", "up_xxxxxxxx", "<your key>",
        "<UPSTAGE_API_KEY>", "${UPSTAGE_API_KEY}", "$UPSTAGE_API_KEY", "changeme", "change-me", "replace_me", "xxx", "***", "...",
        "placeholder", "UPSTAGE_API_KEY", "api-key-here", "TODO", '{"UPSTAGE_API_KEY": "your-api-key-here"}', "up_good,up_...", "up_...@3",
        "sk-xxxxxxxx", "insert-your-key-here", "%UPSTAGE_API_KEY%", "up_enter_your_key",
    ],
)  # fmt: skip
def test_a_placeholder_is_no_key(text):
    with pytest.raises(ConfigError, match=r"placeholder|no API key has"):
        keys_of_secret(text)


@pytest.mark.parametrize(
    "text", ["up_yourself", "up_x1", "up_a", "k1", "key1", "upstage-4711", "up_noneed"]
)
def test_a_key_that_only_resembles_one_is_a_key(text):
    assert keys_of_secret(text)[0].secret == text


SECRET = "up_Xk3vPq9LmZ2rTb7WcY5nDh8"


def split(text: str, with_: str) -> str:
    return with_.join(text[at : at + 5] for at in range(0, len(text), 5))


@pytest.mark.parametrize(
    "echo",
    [
        SECRET,
        SECRET.upper(),
        SECRET.lower(),
        split(SECRET, " "),
        split(SECRET, "\r\n\t"),
        split(SECRET, "\\n"),
        split(SECRET, '", "'),
        split(SECRET, "\u200b"),
        SECRET[:14],
        SECRET[-12:] + "...",
        "".join(f"%{ord(one):02x}" for one in SECRET),
        "".join(f"\\u{ord(one):04X}" for one in SECRET),
        "".join(f"&#{ord(one)};" for one in SECRET),
        "".join(f"&#x{ord(one):x};" for one in SECRET),
        SECRET.encode().hex(),
        base64.b64encode(f"Bearer {SECRET}".encode()).decode(),
        base64.urlsafe_b64encode(f"key={SECRET}!".encode()).decode().rstrip("="),
        base64.b64encode(f"a:{SECRET}".encode()).decode(),
    ],
)
@pytest.mark.parametrize("before", range(0, 30, 7))
def test_no_part_of_a_key_stands_in_a_text_that_repeats_it(echo, before):
    (key,) = parse_keys(SECRET)
    shown = without_keys(f"{'x' * before} Invalid {echo} given, 한글", [key])
    assert f"[{key.name}]" in shown
    assert shown.endswith("given, 한글")
    left = re.sub(r"\[key-[0-9a-f]{6}\]", "", shown).lower()
    plain = re.sub(r"[^a-z0-9]", "", left)
    whole = re.sub(r"[^a-z0-9]", "", SECRET.lower())
    assert not any(whole[at : at + 6] in plain for at in range(len(whole) - 5))


def test_what_is_no_part_of_a_key_stays_as_it_is():
    text = 'HTTP 401 %41 \\n \\u0041 &#65; {"error": "Invalid API key up_... provided"} 한글 \udcff'
    assert without_keys(text, parse_keys(SECRET)) == text


def test_a_key_of_a_few_letters_is_hidden_as_a_word_and_leaves_words_as_they_are():
    (key,) = parse_keys("any")
    said = without_keys('too many requests for key "any", any_more, Anywhere', [key])
    assert said == f'too many requests for key "[{key.name}]", [{key.name}]_more, Anywhere'


@pytest.mark.parametrize("text", ["'up_key'", "'up_key", 'up_key"', "''", "[\"'up_key'\"]"])
def test_quotes_that_a_shell_left_are_no_part_of_a_key(text):
    with pytest.raises(ConfigError, match="has quotes around it") as said:
        keys_of_secret(text)
    assert "up_key" not in str(said.value)
