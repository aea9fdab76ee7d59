"""The options of a run: each is one field here, and every front follows from it.

`ocrlabel run`, the guide's runner, `ocrlabel aws submit` and the variables read this at run time;
scripts/render.py writes from it what cannot: the keywords of `ocrlabel.label`, the form of the
workflow, and docs/options.md. Pydantic checks the values, and is imported when there are some:
importing it would take half as long again as all of `ocrlabel --help`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, replace
from dataclasses import fields as dataclass_fields
from datetime import datetime
from enum import StrEnum
from functools import cache
from types import NoneType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    get_args,
    get_origin,
    get_type_hints,
)

from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, TypeAdapter, ValidationError
    from pydantic_core import CoreSchema

PRICE_PER_PAGE_USD: Final = 0.0015
PRICE_SOURCE: Final = "a third party's reading of the price page"
PRICE_DATE: Final = "2026-09-11"
BATCH_ROWS: Final = 500
SLICE_ROWS: Final = 25  # the unit that workers claim: more workers than slices stand idle
DOCUMENTED_REQUESTS_PER_S: Final = 3.0
"""Document OCR's rate on the newest page of its documentation (2026-09-30 or later)."""
DATASET: Final = "baseline_train"  # the guide's
_VARIABLE: Final = "OCRLABEL_"

LANGUAGES: Final = ("en", "zh", "ko")
EngineName = Literal["auto", "upstage", "rapidocr", "tesseract", "scripted"]
LogStyle = Literal["auto", "bar", "lines", "json", "quiet"]
JobEngine = Literal["upstage", "rapidocr", "tesseract"]
"""The engines that a worker's image can have."""


class Front(StrEnum):
    """Where an option may be given. Each is also a variable, OCRLABEL_<NAME>, for all of them."""

    RUN = "`ocrlabel run`"
    RUNNER = "the runner"
    SUBMIT = "`ocrlabel aws submit`"
    WORKFLOW = "the workflow"
    PYTHON = "`ocrlabel.label`"


JOBS: Final = (Front.RUNNER, Front.SUBMIT, Front.WORKFLOW)
WHAT, PACE, OUT, WHERE = "What to do", "Pace and money", "Output", "Where"


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of its own in the workflow's form; what has none is written into `options`.

    rank: the guide's come first, in its order.
    """

    description: str
    rank: int
    default: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """What is to be known of an option beside its name, type and default.

    read: takes what was written apart, before its type is
    checked. lacks: the fronts that do not have it, and why. guide: the runner's variable of the
    guide. in_a_job: what it may be where a job is submitted; the first is the default there.
    """

    help: str
    panel: str = WHAT
    unit: str = ""
    least: float | None = None
    above: float | None = None
    most: float | None = None
    read: Callable[[Any], Any] | None = None
    lacks: Mapping[Front, str] = field(default_factory=dict)
    guide: str = ""
    form: FormField | None = None
    in_a_job: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(
        self, source: Any, handler: "GetCoreSchemaHandler"
    ) -> "CoreSchema":
        """The type, within its bounds, of what was read."""
        from pydantic import BeforeValidator, Field  # noqa: PLC0415 - slow to import

        checks: list[Any] = [Field(ge=self.least, gt=self.above, le=self.most)]
        if self.read is not None:
            checks.append(BeforeValidator(self.read))
        return handler.generate_schema(Annotated[source, *checks])


def number_or(word: str, otherwise: str) -> Callable[[Any], Any]:
    """A number, or a word for none."""

    def read(value: Any) -> Any:
        try:
            return None if value in {None, word} else float(value)
        except ValueError:
            raise ValueError(otherwise) from None

    return read


def share(value: Any) -> Any:
    """A part of one, which may be written as 5%."""
    if isinstance(value, str) and value.strip().endswith("%"):
        return float(value.strip().removesuffix("%")) / 100
    return value


def listed(value: Any) -> Any:
    """What is written a,b; `all` is no name."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip() not in {"", "all"})
    return value


def pairs(value: Any) -> Any:
    """What is written a=b,c=d; a comma that no name and `=` follow is part of a value."""
    if isinstance(value, str):
        value = re.split(r",(?=[^,=]+=)", value) if value.strip() else ()
    if wrong := [one for one in value if "=" not in one.lstrip("=")]:
        raise ValueError(f"write key=value, not {wrong[0]!r}")
    return tuple(value)


def languages(value: Any) -> Any:
    """Languages by their two letters, written a,b or one by one."""
    chosen = tuple(dict.fromkeys(listed(value)))
    if unknown := [one for one in chosen if one not in LANGUAGES]:
        raise ValueError(f"write {', '.join(LANGUAGES)}, not {', '.join(map(str, unknown))}")
    return chosen


def seconds(value: Any) -> Any:
    """Seconds in "90", "90s", "15m" or "6h"."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}.get(text[-1:].lower())
    try:
        return float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        raise ValueError("write seconds, 15m or 6h") from None


def moment(value: Any) -> Any:
    """Seconds as above, or a moment such as 2026-11-24T18:00:00Z."""
    try:
        return seconds(value)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(value.strip()).astimezone()
    except ValueError:
        raise ValueError("write seconds, 15m, 6h, or a moment like 2026-11-24T18:00Z") from None


_IN_A_BUCKET = dict.fromkeys(JOBS, "where a job's tables lie follows from bucket and dataset")
_BY_ADDRESS = dict.fromkeys((Front.RUN, Front.PYTHON), "the address says it: s3://bucket/key")
_OF_THE_STACK = dict.fromkeys(JOBS[1:], "jobs work in the stack's bucket, under the guide's keys")


def _in_a_bucket(help_: str, guide: str) -> Option:
    return Option(help_, WHERE, guide=guide, lacks=_BY_ADDRESS | _OF_THE_STACK)


def _tuning(help_: str, least: float | None = None) -> Option:
    why = "tunes the machinery and not the run: as a variable, or for a job in its definition"
    lacks = dict.fromkeys((Front.RUN, *JOBS), why)
    above = 0.0 if least is None else None
    return Option(help_, PACE, unit="s", least=least, above=above, lacks=lacks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one invocation. None means automatic, no limit, or as the run has it.

    Only batch_size becomes part of the plan. rps and max_cost: None leaves what was said of the
    run before; `lifted` names those of them that shall not hold any more. job: the Batch job, the
    same for its retries and its array's children. Those two are no options.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"allow_inf_nan": False}

    s3_bucket: Annotated[str | None, _in_a_bucket("The bucket.", "S3_BUCKET")] = None
    dataset_name: Annotated[
        str | None,
        Option(
            f"The dataset: {DATASET}, say.",
            WHERE,
            guide="DATASET_NAME",
            form=FormField(
                f"Dataset: {DATASET}, baseline_val, or another data/processed/NAME.parquet",
                1,
                DATASET,
                required=True,
            ),
            lacks={Front.RUN: "it is called as its input"}
            | {Front.SUBMIT: "it is the command's argument"},
        ),
    ] = None
    input_s3_key: Annotated[
        str | None,
        _in_a_bucket("The input; data/processed/{dataset}.parquet by default.", "INPUT_S3_KEY"),
    ] = None
    output_s3_key: Annotated[
        str | None,
        _in_a_bucket(
            "The labels; data/processed/{dataset}_pseudo_labels.parquet by default.",
            "OUTPUT_S3_KEY",
        ),
    ] = None
    output: Annotated[
        str | None,
        Option("Where the labels table goes: labels.parquet, or s3://...", OUT, lacks=_IN_A_BUCKET),
    ] = None
    engine: Annotated[
        str,
        Option(
            "Who reads: upstage, rapidocr, tesseract, scripted, or what `ocrlabel engines` lists;"
            " `auto` is upstage where there is a key, else rapidocr.",
            in_a_job=get_args(JobEngine),
            form=FormField("Engine (rapidocr and tesseract need the image local)", 5),
        ),
    ] = "auto"
    engine_option: Annotated[
        tuple[str, ...],
        Option(
            "key=value for an engine of an installed package; may be given more than once.",
            read=pairs,
            lacks=dict.fromkeys(JOBS, "the images of the cloud hold ocrlabel's own engines"),
        ),
    ] = ()
    language: Annotated[
        tuple[str, ...],
        Option(
            "What rapidocr shall read: en, zh or ko; may be given more than once. By default what"
            " its models know, which is all but Korean.",
            read=languages,
        ),
    ] = ()
    image_root: Annotated[
        tuple[str, ...],
        Option(
            "A folder, or s3://bucket/prefix, that image paths start from; may be given more than"
            " once.",
            read=listed,
        ),
    ] = ()
    image_column: Annotated[
        str | None, Option("The table's image column, where its name is not a usual one.")
    ] = None
    id_column: Annotated[
        str | None, Option("The table's column of ids; `id` where there is one, else the paths.")
    ] = None
    resume: Annotated[
        bool,
        Option(
            "Go on with an unfinished run that another job began; the runner does so only if told.",
            form=FormField("Go on with an earlier run", 2),
            lacks=dict.fromkeys((Front.RUN, Front.PYTHON), "they always go on with what is there"),
        ),
    ] = True
    sample: Annotated[
        int | None,
        Option(
            "Label a seeded sample of this many rows first; a later run does the rest.",
            unit="rows",
            least=1,
        ),
    ] = None
    seed: Annotated[int, Option("The seed of the sample.")] = 0
    limit: Annotated[
        int | None, Option("Only the first rows; a later run does the rest.", unit="rows", least=1)
    ] = None
    retry_failed: Annotated[
        tuple[str, ...] | None,
        Option(
            "After a finished run: try failed rows again. `all`, or classes: `timed_out,...`",
            read=listed,
        ),
    ] = None
    reuse_from: Annotated[
        str | None,
        Option(
            "Take rows whose bytes this labels table of another place has, and pay nothing.",
            lacks=dict.fromkeys(JOBS, "it is a file of this machine"),
        ),
    ] = None
    fresh: Annotated[bool, Option("Start again from nothing, and pay for every page again.")] = (
        False
    )
    grow: Annotated[
        bool,
        Option(
            "Go on in the same place though the input has grown or changed: only images that are"
            " new or changed are asked for."
        ),
    ] = False
    drop_gone: Annotated[
        bool, Option("With --grow: rows that are gone from the input leave the tables.")
    ] = False
    rps: Annotated[
        float | None,
        Option(
            "Requests/s of all keys and workers together, or `auto`.",
            PACE,
            unit="requests/s",
            above=0,
            most=1_000_000,
            read=number_or("auto", "write `auto`, or requests/s as a number such as 3"),
        ),
    ] = None
    concurrency: Annotated[
        int | None,
        Option(
            "The most requests under way at once; by default as needed.",
            PACE,
            unit="requests",
            least=1,
            most=10_000,
            guide="CONCURRENCY",
            form=FormField("Requests at once (empty = automatic)", 4),
        ),
    ] = None
    processes: Annotated[
        int | None,
        Option(
            "Processes that open or read images; by default the cores.", PACE, least=1, most=1_000
        ),
    ] = None
    max_cost: Annotated[
        float | None,
        Option(
            "Never spend more than this many US dollars (exit 5); or `none`.",
            PACE,
            unit="USD",
            least=0,
            most=1_000_000_000,
            read=number_or("none", "write US dollars such as 5.00, or `none`"),
            form=FormField("The most that OCR may cost, in USD (empty = no cap)", 6),
        ),
    ] = None
    price_per_page: Annotated[
        float,
        Option(f"US dollars, without VAT; the price of {PRICE_DATE}.", PACE, unit="USD", above=0),
    ] = PRICE_PER_PAGE_USD
    max_failures: Annotated[
        float,
        Option(
            "More failed rows than this end with exit 6: 5%, or 0.05.",
            PACE,
            unit="share of the rows",
            least=0,
            most=1,
            read=share,
        ),
    ] = 0.05
    attempts: Annotated[
        int, Option("How often an image is sent at most.", PACE, least=1, most=100)
    ] = 8
    give_up_after: Annotated[
        float,
        Option(
            "How long an outage may last: 30m (exit 75).", PACE, unit="s", above=0, read=seconds
        ),
    ] = 1800.0
    deadline: Annotated[
        float | datetime | None,
        Option(
            "Stop and save before: 6h, or a moment (exit 75).",
            PACE,
            unit="s",
            read=moment,
            lacks=dict.fromkeys(JOBS, "a job's follows from its time-out"),
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        Option(
            f"Rows of a checkpoint; {BATCH_ROWS}, or what the run began with.",
            OUT,
            unit="rows",
            least=1,
            most=1_000_000,
            guide="BATCH_SIZE",
            form=FormField("Images of a checkpoint", 3, str(BATCH_ROWS)),
        ),
    ] = None
    checkpoint_prefix: Annotated[
        str,
        Option(
            "The folder of checkpoints beside the output.",
            OUT,
            guide="CHECKPOINT_PREFIX",
            lacks=_OF_THE_STACK,
        ),
    ] = "checkpoints"
    model: Annotated[
        str,
        Option(
            "The Upstage model: ocr, or a dated snapshot such as ocr-250904; or rapidocr's `tiny`,"
            " which is quicker and reads less (`ocrlabel models get tiny`)."
        ),
    ] = "ocr"
    report: Annotated[bool, Option("Write the HTML report at the end.", OUT)] = True
    log: Annotated[
        LogStyle,
        Option(
            "How progress is shown; `auto` is a bar on a terminal, else lines.",
            OUT,
            lacks={Front.PYTHON: "progress=False says it"},
        ),
    ] = "auto"
    image_deadline_s: Annotated[float, _tuning("How long one image may be tried.")] = 1800.0
    grace_s: Annotated[float, _tuning("How long the end may take after a signal.", least=0)] = 25.0
    lease_s: Annotated[float, _tuning("How long a silent worker keeps its rows.")] = 60.0
    send_within_s: Annotated[float, _tuning("How old a claim may be when it is sent.")] = 60.0
    request_timeout_s: Annotated[float, _tuning("How long an answer is waited for.")] = 300.0
    page_timeout_s: Annotated[float, _tuning("How long a local engine may read a page.")] = 120.0
    latency: Annotated[float, _tuning("How long `scripted` reads a page.", least=0)] = 0.0

    job: str = ""
    lifted: frozenset[str] = frozenset()

    @property
    def engine_options(self) -> dict[str, str]:
        """What --engine-option says, by its keys."""
        return dict(one.split("=", 1) for one in self.engine_option)

    @classmethod
    def of(
        cls,
        environment: Mapping[str, str],
        *,
        front: Front = Front.RUN,
        defaults: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> "Options":
        """Options of what was given (None: not given), then the environment. Raises ConfigError.

        defaults: of the front, where they are not the schema's.
        """
        chosen: dict[str, Any] = {}
        for name, known in described().items():
            if front is Front.RUNNER and environment.get(known.option.guide, "").strip():
                chosen[name] = environment[known.option.guide].strip()
            elif known.variable in environment:
                chosen[name] = environment[known.variable]
        # a job definition may fill a flag of the guide's with nothing
        guides = {name for name, known in described().items() if known.option.guide}
        blank = {name for name in guides if given.get(name) == ""}
        chosen |= {n: value for n, value in given.items() if value is not None and n not in blank}
        if front in described()["resume"].option.lacks:
            chosen["resume"] = True
        known_names = {*described(), *(one.variable for one in described().values())}
        # a cap in a variable that nobody reads would be kept by nobody
        ours = [name for name in environment if name.startswith(_VARIABLE)]
        if unknown := [name for name in (*chosen, *ours) if name not in known_names]:
            raise ConfigError("\n".join(_unknown(name, described()) for name in unknown))
        from pydantic import ValidationError  # noqa: PLC0415 - slow to import

        try:
            options = _checker().validate_python(dict(defaults or {}) | chosen)
        except ValidationError as error:
            raise ConfigError(_sentences(error)) from error
        if options.fresh and options.grow:
            raise ConfigError(
                "--fresh begins again from nothing, --grow keeps what is there: leave one out"
            )
        return replace(options, lifted=frozenset(n for n in chosen if getattr(options, n) is None))


@dataclass(frozen=True, slots=True)
class Described:
    """A field of Options as every front needs it."""

    name: str
    type: Any
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """As on a command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """As in the environment."""
        return f"{_VARIABLE}{self.name.upper()}"

    @property
    def repeatable(self) -> bool:
        """Whether it may be given more than once."""
        return bool(self.type == tuple[str, ...])

    @property
    def written(self) -> Any:
        """The type of what is written on a command line: a word, or text that is read later."""
        if self.repeatable:
            return list[str]
        if get_origin(self.type) is Literal:
            return self.type
        plain = [one for one in get_args(self.type) or [self.type] if one is not NoneType]
        return str if self.option.read or plain[0] not in {bool, int, float} else plain[0]


@cache
def described() -> dict[str, Described]:
    """Every option by its name, in their order."""
    types = get_type_hints(Options, include_extras=True)
    found = {}
    for each in dataclass_fields(Options):
        kind, *more = get_args(types[each.name]) or (None,)
        if more and isinstance(more[0], Option):
            default = None if each.default is MISSING else each.default
            found[each.name] = Described(each.name, kind, default, more[0])
    return found


def options_of(front: Front) -> dict[str, Described]:
    """The options that a front has."""
    return {name: one for name, one in described().items() if front not in one.option.lacks}


def argv(given: Mapping[str, Any]) -> list[str]:
    """Options as words for the runner, which no shell sees; None is not given."""
    words: list[str] = []
    for name, value in given.items():
        flag = described()[name].flag
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        elif isinstance(value, list | tuple):
            words += [word for one in value for word in (flag, str(one))]
        elif value is not None:
            text = str(value)
            words += [flag, text.removesuffix(".0") if isinstance(value, float) else text]
    return words


def from_words(text: str, options: Mapping[str, Described]) -> dict[str, Any]:
    """What `--limit 100 --retry-failed all` says, taken apart without a shell.

    Raises ConfigError that names the word; the values are still to be checked.
    """
    from shlex import split  # noqa: PLC0415 - not for --help

    try:
        words = split(text)
    except ValueError as error:
        raise ConfigError(f"{text[:60]!r} cannot be taken apart: {error}") from None
    if not text.isprintable():
        raise ConfigError(f"{text[:60]!r} is not one line of text")
    flags = {one.flag: one for one in options.values()}
    given: dict[str, Any] = {}
    while words:
        word, has_value, value = words.pop(0).partition("=")
        one = flags.get(word) or flags.get(word.replace("--no-", "--", 1))
        if one is None or (one.flag != word and one.written is not bool):
            raise ConfigError(_unknown(word[:60], flags))
        if one.written is bool:
            if has_value:
                raise ConfigError(f"{word} takes no value")
            given[one.name] = word == one.flag
            continue
        if not has_value:
            if not words or words[0] in flags:
                raise ConfigError(f"{word} needs a value")
            value = words.pop(0)
        given[one.name] = (*given.get(one.name, ()), value) if one.repeatable else value
    return given


@cache
def _checker() -> "TypeAdapter[Options]":
    from pydantic import TypeAdapter  # noqa: PLC0415 - slow to import

    return TypeAdapter(Options)


def _sentences(error: "ValidationError") -> str:
    lines = []
    for one in error.errors():
        known = described()[str(one["loc"][0])]
        message = one["msg"].removeprefix("Value error, ")
        lines.append(f"{known.flag} (or {known.variable}): {message}; got {one['input']!r}")
    return "\n".join(lines)


def _unknown(name: str, known: Mapping[str, Described]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - not for --help

    prefix = _VARIABLE if name.startswith(_VARIABLE) else ""
    near = get_close_matches(name.removeprefix(prefix).lower(), known, 1)
    if not near:
        return f"there is no option {name!r} here"
    meant = known[near[0]].variable if prefix else near[0]
    return f"there is no option {name!r}: did you mean {meant}?"
