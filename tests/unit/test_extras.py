"""The extras that pages and messages name are those of pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
PLACES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "src").rglob("*.py")),
    *sorted((ROOT / "scripts").rglob("*.sh")),
]


def extras_named(text: str) -> set[str]:
    listed = re.findall(r"(?:ocrlabel|'\.)\[([a-z,]+)\]", text)
    listed += re.findall(r"the extra `([a-z]+)`", text)
    return {name for names in listed for name in names.split(",")}


def test_no_page_and_no_message_names_an_extra_that_there_is_not():
    found = {path: extras_named(path.read_text(encoding="utf-8")) for path in PLACES}
    assert set().union(*found.values()) >= {"aws", "quality", "local", "all"}
    assert {path: names - set(EXTRAS) for path, names in found.items() if names - set(EXTRAS)} == {}


def test_nothing_tells_to_install_it_from_an_index_on_which_it_is_not():
    by_name = re.compile(r"pip install[^\n]*['\" ]ocrlabel\b")
    assert by_name.search("pip install 'ocrlabel[export]'")
    assert [path for path in PLACES if by_name.search(path.read_text(encoding="utf-8"))] == []


def test_the_readme_lists_every_extra():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    sentence = readme[readme.index("The extras: ") :].split(" of them.")[0]
    assert set(re.findall(r"`([a-z]+)`", sentence)) == set(EXTRAS)


@pytest.mark.parametrize("name", sorted(set(EXTRAS) - {"all"}))
def test_all_holds_every_extra_and_each_is_told_by_a_message_that_needs_it(name):
    assert name in extras_named(str(EXTRAS["all"]))
    sources = [path for path in PLACES if path.suffix == ".py"]
    assert any(f"pip install '.[{name}]'" in path.read_text() for path in sources)
