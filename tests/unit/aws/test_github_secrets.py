from __future__ import annotations

import pytest

from ocrlabel.aws.github import KEYS, secrets, set_with_gh, table
from ocrlabel.aws.plan import Hidden
from ocrlabel.errors import ConfigError
from tests.support.aws import CONFIG

ACCESS = {"AWS_ACCESS_KEY_ID": Hidden("id-of-key"), "AWS_SECRET_ACCESS_KEY": Hidden("the-secret")}


def test_there_are_eight_of_them():
    assert len(secrets(CONFIG, {})) == 8


def test_the_table_shows_arns_and_no_key():
    shown = table(secrets(CONFIG, ACCESS))
    assert CONFIG.job_role_arn in shown
    assert "the-secret" not in shown
    assert "id-of-key" not in shown


def test_gh_gets_the_values_by_its_input_only():
    asked = []

    def gh(argv, stdin):
        asked.append((list(argv), stdin))
        return ""

    done = set_with_gh(gh, "me/labels", secrets(CONFIG, ACCESS))
    assert len(done) == 8
    assert (
        ["gh", "secret", "set", "AWS_SECRET_ACCESS_KEY", "--repo", "me/labels"],
        "the-secret",
    ) in asked
    assert not any("the-secret" in argument for argv, _ in asked for argument in argv)


def test_without_keys_nothing_is_set_and_oidc_is_offered():
    with pytest.raises(ConfigError, match="--github OWNER/NAME"):
        set_with_gh(lambda *_: pytest.fail("was called"), "", secrets(CONFIG, {}))
    assert set(KEYS) == set(ACCESS)
