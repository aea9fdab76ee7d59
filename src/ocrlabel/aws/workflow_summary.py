"""What the summary of a workflow's run says, as Markdown, with links into AWS's console. Pure.

The text is workflow-summary.md.j2. What is not ours in it (a log, a reason, what was typed) cannot
become markup, a link or a mention.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ocrlabel.aws.cost import total
from ocrlabel.aws.names import LOG_GROUP
from ocrlabel.errors import ConfigError
from ocrlabel.wording import duration

if TYPE_CHECKING:
    from jinja2 import Template

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$@])")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Console:
    """Links to AWS's console. region "" leaves it to the console's own choice.

    A region that is one of the repository's secrets would be masked in the summary, and the link
    with it would lead nowhere.
    """

    region: str = ""

    def job(self, job_id: str) -> str:
        """A job of AWS Batch."""
        return self._page("batch/home", f"jobs/detail/{quote(job_id, safe='')}")

    def definition(self, arn: str) -> str:
        """A revision of a job definition."""
        return self._page("batch/home", f"job-definition/detail/{quote(arn, safe=':/')}")

    def queue(self) -> str:
        """The queues."""
        return self._page("batch/home", "queues")

    def logs(self) -> str:
        """The jobs' log group; the console wants its slashes quoted twice."""
        group = quote(quote(LOG_GROUP, safe=""), safe="").replace("%", "$")
        return self._page("cloudwatch/home", f"logsV2:log-groups/log-group/{group}")

    def repository(self, account: str, repository: str) -> str:
        """The images."""
        return self._page(f"ecr/repositories/private/{quote(account)}/{quote(repository)}")

    def _page(self, path: str, fragment: str = "") -> str:
        region = f"?region={self.region}" if self.region else ""
        return f"https://console.aws.amazon.com/{path}{region}{fragment and '#'}{fragment}"


class _Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


def summary(part: str, **values: Any) -> str:
    """A part of it: a macro of workflow-summary.md.j2, which names its values."""
    return str(getattr(_template().module, part)(**values)).strip("\n")


@cache
def _template() -> Template:
    try:
        from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError("this needs jinja2: in the clone, pip install '.[aws]'") from error

    def finalize(value: Any) -> str:
        return value if isinstance(value, _Markdown) else plain(str(value))

    environment = Environment(  # noqa: S701 - Markdown, whose values `finalize` makes plain
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=finalize
    )
    environment.filters |= {
        "code": lambda text: _Markdown(code_span(text)),
        "duration": duration,
        "fenced": lambda lines: _Markdown(fenced(lines)),
        "number": lambda value, places=0: "" if value is None else f"{value:,.{places}f}",
        "ours": _Markdown,
    }
    environment.globals |= {"link": lambda *of: _Markdown(link(*of)), "total": total}
    source = Path(__file__).with_name("workflow-summary.md.j2").read_text(encoding="utf-8")
    return environment.from_string(source)


def plain(text: str) -> str:
    """Text as it stands, whatever is in it: no markup, no link, no mention, one line."""
    return _SPECIAL.sub(r"\\\1", _UNSEEN.sub(" ", text))


def code_span(text: str) -> str:
    """On one line in code type; a backtick in it becomes an apostrophe."""
    return f"`{_UNSEEN.sub(' ', text).replace('`', chr(39)).replace('|', '/')}`"


def link(text: str, url: str) -> str:
    """A link; the address is ours."""
    return f"[{plain(text)}]({url})"


def fenced(lines: Sequence[str]) -> str:
    """Lines of a log, which cannot close their own fence."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *(_UNSEEN.sub(" ", line) for line in lines), fence])
