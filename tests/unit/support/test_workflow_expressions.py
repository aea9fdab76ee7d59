"""The small evaluator says what GitHub's documentation says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.workflow_expressions import (
    NotUnderstood,
    World,
    as_text,
    condition,
    evaluate,
    filled,
)

CONTEXTS = {
    "github": {"event_name": "push", "ref": "refs/heads/main"},
    "inputs": {"resume": True, "workers": "", "dataset": "baseline_train"},
    "vars": {"AWS_REGION": "us-east-1"},
    "secrets": {},
    "steps": {"follow": {"outputs": {"outcome": "failed"}}},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'PUSH' == github.event_name", True),  # without case
        ("github.event_name != 'push'", False),
        ("inputs.resume == true", True),
        ("inputs.resume == 'true'", False),  # 'true' is no number
        ("'1' == 1", True),
        ("'' == 0", True),
        ("null == 0", True),
        ("null == ''", True),
        ("false == 0", True),
        ("'abc' == 0", False),
        ("vars.none || 'api'", "api"),
        ("vars.AWS_REGION || secrets.AWS_REGION", "us-east-1"),
        ("vars.aws_region", "us-east-1"),  # names have no case
        ("vars['AWS_REGION']", "us-east-1"),
        ("secrets.none", None),
        ("steps.none.outputs.x", None),
        ("inputs.workers && 'some' || 'all'", "all"),
        ("'' && 1", ""),
        ("!inputs.workers", True),
        ("!(true && false)", True),
        ("true || false && false", True),  # && binds closer
        ("contains(github.ref, 'HEADS')", True),
        ("startsWith(github.ref, 'refs/tags/')", False),
        ("endsWith(github.ref, '/main')", True),
        ("format('{0}-{1}', github.event_name, 7)", "push-7"),
        ("'it''s'", "it's"),
        ("1.5", 1.5),
    ],
)
def test_an_expression_has_this_value(text, value):
    assert evaluate(text, World(CONTEXTS)) == value


@pytest.mark.parametrize(
    ("text", "state", "runs"),
    [
        ("github.event_name == 'push'", "success", True),
        ("github.event_name == 'push'", "failure", False),  # success() is meant
        ("github.event_name == 'push'", "cancelled", False),
        ("always()", "cancelled", True),
        ("cancelled()", "cancelled", True),
        ("cancelled()", "failure", False),
        ("failure()", "failure", True),
        ("${{ !cancelled() && steps.follow.outputs.outcome == 'failed' }}", "failure", True),
        ("!cancelled()", "cancelled", False),
        ("success()", "success", True),
    ],
)
def test_a_condition_knows_what_became_of_the_job(text, state, runs):
    assert condition(text, World(CONTEXTS, state)) is runs


@pytest.mark.parametrize(
    "text", ["1 +", "a b", "nowhere.x", "hashFiles('x')", "'open", "(true", "$x", "", "f(1 2)"]
)
def test_what_is_not_understood_is_refused(text):
    with pytest.raises(NotUnderstood):
        evaluate(text, World(CONTEXTS))


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "true"), (False, "false"), (500.0, "500"), (1.5, "1.5"), ("x", "x")],
)
def test_values_become_text_as_github_writes_them(value, text):
    assert as_text(value) == text


@given(st.text())
def test_a_value_that_looks_like_an_expression_is_not_evaluated(value):
    world = World({"inputs": {"dataset": f"${{{{ {value} }}}}"}})
    assert filled("a ${{ inputs.dataset }} b", world) == f"a ${{{{ {value} }}}} b"
