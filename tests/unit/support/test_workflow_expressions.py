"""The small evaluator says what GitHub's documentation says, of what our workflows use."""

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
        ("vars.none == ''", True),
        ("vars.none != ''", False),
        ("vars.none == 'api'", False),
        ("vars.none || 'api'", "api"),
        ("vars.AWS_REGION || secrets.AWS_REGION", "us-east-1"),
        ("vars.aws_region", "us-east-1"),  # names have no case
        ("secrets.none", None),
        ("steps.none.outputs.x", None),
        ("inputs.workers && 'some' || 'all'", "all"),
        ("inputs.dataset && 'some' || 'all'", "some"),
        ("'' && 'x'", ""),
        ("!inputs.workers", True),
        ("!(inputs.resume && inputs.workers)", True),
        ("inputs.resume || inputs.workers && ''", True),  # && binds closer
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
        ("cancelled()", "cancelled", True),
        ("cancelled()", "failure", False),
        ("${{ !cancelled() && steps.follow.outputs.outcome == 'failed' }}", "failure", True),
        ("!cancelled()", "cancelled", False),
        ("success()", "success", True),
    ],
)
def test_a_condition_knows_what_became_of_the_job(text, state, runs):
    assert condition(text, World(CONTEXTS, state)) is runs


@pytest.mark.parametrize(
    "text",
    [
        *("1", "vars['AWS_REGION']", "'it''s'", "always()", "inputs.resume == 'true'"),
        *("'x' ||", "a b", "nowhere.x", "hashFiles('x')", "'open", "(vars.x", "$x", "", "f('x')"),
    ],
)
def test_what_our_workflows_do_not_use_is_refused(text):
    with pytest.raises(NotUnderstood):
        evaluate(text, World(CONTEXTS))


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (True, "true"), (False, "false"), (500, "500"), ("x", "x")]
)
def test_values_become_text_as_github_writes_them(value, text):
    assert as_text(value) == text


@given(st.text())
def test_a_value_that_looks_like_an_expression_is_not_evaluated(value):
    world = World({"inputs": {"dataset": f"${{{{ {value} }}}}"}})
    assert filled("a ${{ inputs.dataset }} b", world) == f"a ${{{{ {value} }}}} b"
