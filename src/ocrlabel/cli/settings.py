"""The environment as a value, and the options of a command, each declared once."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, redirect_stderr
from copy import copy
from dataclasses import dataclass
from functools import cache, wraps
from numbers import Integral, Real
from pathlib import Path
from traceback import format_exception
from types import FunctionType, NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import typer

from ocrlabel.errors import ConfigError, OcrLabelError
from ocrlabel.options import Described, Front, described, options_of

if TYPE_CHECKING:
    from ocrlabel.storage.base import ObjectStore

_CHOICES_COLUMNS = 16
Command = Callable[..., None]
T = TypeVar("T")

Images: TypeAlias = Sequence[str | Path] | str | Path | None
ImagesOption = Annotated[
    Images,
    typer.Option(
        help="A folder with the images, or the parquet that holds them; by default where the run"
        " found them. Repeatable."
    ),
]
Labels = Annotated[str | Path, typer.Argument(help="The labels table (parquet).")]
Seed = Annotated[int, typer.Option(help="Another seed, other chances.")]
Json = Annotated[bool, typer.Option("--json", help="Write it as JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Go on without asking.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say what would be done (and cost); touch nothing.")
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Ask nobody: of an empty account, at listed prices.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more; of an error also where it comes from.")
]
_Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Only results and errors: no progress, no notes.")
]


@dataclass(frozen=True, slots=True)
class Keys:
    """The environment: options, keys and addresses of services. Values never show in a repr."""

    variables: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Keys({', '.join(sorted(self.variables))})"

    def get(self, name: str) -> str:
        """The value, "" where it is unset or blank."""
        return self.variables.get(name, "").strip()


def from_environment() -> Keys:
    """The environment as it is now."""
    return Keys(dict(os.environ))


def open_store(root: str, keys: Keys) -> ObjectStore:
    """The store at a folder or s3://bucket."""
    from ocrlabel.storage.opening import open_store as opened

    return opened(
        root,
        endpoint_url=keys.get("AWS_ENDPOINT_URL_S3") or keys.get("AWS_ENDPOINT_URL") or None,
        region=keys.get("AWS_REGION") or keys.get("AWS_DEFAULT_REGION") or None,
        ca_bundle=keys.get("AWS_CA_BUNDLE") or None,
    )


def taking(front: Front) -> Callable[[Command], Command]:
    """The command with the options of a front, in the place of its `**given`; None: not given."""

    def decorated(command: Command) -> Command:
        ours = (
            _keyword(name, default=None, annotation=_declared(one, front))
            for name, one in options_of(front).items()
        )
        return _signed(command, [*parameters(command), *ours])

    return decorated


def everywhere(command: Command) -> Command:
    """The command with the options that every command has."""
    own = parameters(command)
    tells_more = any(one.name == "verbose" for one in own)

    @wraps(command)
    def heard(*, quiet: bool = False, verbose: bool = False, **given: Any) -> None:
        if tells_more:
            given["verbose"] = verbose
        with ExitStack() as aside:
            if quiet:
                nowhere = aside.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
                aside.enter_context(redirect_stderr(nowhere))
            try:
                command(**given)
            except OcrLabelError as error:
                if verbose:
                    error.add_note("".join(format_exception(error)).rstrip())
                raise

    every = {"quiet": _Quiet, "verbose": Verbose}
    ours = (_keyword(name, default=False, annotation=kind) for name, kind in every.items())
    return _signed(heard, [*(one for one in own if one.name not in every), *ours])


def telling(work: Callable[..., T], tell: Callable[..., None]) -> Command:
    """A command that does the work and tells what came of it: its options are those of both.

    tell: takes what the work gave back, and of the options those that it names.
    """
    of_work, of_tell = parameters(work), parameters(tell, after=1)
    names = [one.name for one in of_work]

    @wraps(work)
    def command(**given: Any) -> None:
        done = work(**{name: given[name] for name in names})
        tell(done, **{one.name: given[one.name] for one in of_tell})

    return _signed(command, [*of_work, *(one for one in of_tell if one.name not in names)])


def parameters(function: Callable[..., Any], *, after: int = 0) -> list[inspect.Parameter]:
    """What a command takes, each with the type that a command line reads, after the first few."""
    names = inspect.unwrap(function).__globals__
    return [
        one.replace(
            annotation=_typed(
                # one by one: what a function gives back is not imported for --help
                eval(one.annotation, names)  # noqa: S307 -- our own text
                if isinstance(one.annotation, str)
                else one.annotation
            )
        )
        for one in [*inspect.signature(function).parameters.values()][after:]
        if one.kind is not one.VAR_KEYWORD
    ]


def _keyword(name: str, *, default: Any, annotation: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _signed(command: Command, taken: Iterable[inspect.Parameter]) -> Command:
    """The command with this signature, for whoever inspects it."""
    ordered = sorted(taken, key=lambda one: one.kind)
    command.__annotations__ = {one.name: one.annotation for one in ordered}
    command.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]  # inspect looks for it
    return command


def option(name: str) -> Any:
    """The declaration of one option, for a command that has only a few of them."""
    help_ = described()[name].option.help
    if name == "output":
        return output_option(help_)
    return typer.Option(help=help_, autocompletion=_engines if name == "engine" else None)


def named(images: Images) -> list[Path]:
    """What --images names, in Python also without a list around one."""
    several = [images] if isinstance(images, str | Path) else images or []
    return [Path(one).expanduser() for one in several]


def output_option(help_: str) -> Any:
    """The declaration of --output, which is of one type in every command: a path or an address."""
    return typer.Option("--output", "-o", help=help_, metavar="<path>")


def _engines(incomplete: str) -> list[str]:
    """What --engine may name and begins so."""
    from ocrlabel.engines.plugins import listed

    names = ("auto", *(one.name for one in listed()))
    return [name for name in names if name.startswith(incomplete)]


def _declared(one: Described, front: Front) -> Any:
    written, default, help_ = one.written, one.default, one.option.help
    if front is Front.SUBMIT and one.option.in_a_job:
        written, default = Literal[one.option.in_a_job], one.option.in_a_job[0]
    if front is Front.RUNNER and one.option.guide:
        help_ = f"{help_} Or {one.option.guide}."
    shown = typer.Option(help=help_, rich_help_panel=one.option.panel, show_default=False)
    if one.name == "engine" and written is str:
        shown.autocompletion = _engines
    shown = output_option(help_) if one.name == "output" else shown
    kind, info = get_args(_typed(Annotated[written | None, shown]))
    # what is not given is None: the variables come before the default; a job has other switches
    if default not in {None, ()} and (front is Front.RUN or written is not bool):
        info.help = f"{info.help} [default: {_shown(one, default)}]"
    return Annotated[kind, info]


def _shown(one: Described, default: Any) -> str:
    if isinstance(default, bool):
        return one.name if default else f"no-{one.name}"
    return f"{default:g} {one.option.unit}".rstrip() if isinstance(default, float) else str(default)


def _typed(annotation: Any) -> Any:
    """The type as the command line's library knows it: a path or an address is text.

    Many choices stand in the help text: in the column of types they are broken within a word.
    """
    if get_origin(annotation) is not Annotated:
        return annotation
    kind, info = get_args(annotation)
    kinds = get_args(kind)
    literal = next((one for one in (kind, *kinds) if get_origin(one) is Literal), None)
    if (
        literal is not None
        and not info.metavar
        and len("|".join(get_args(literal))) > _CHOICES_COLUMNS
    ):
        info = copy(info)
        info.metavar, info.help = "<choice>", f"{info.help} One of {', '.join(get_args(literal))}."
    elif any(get_origin(one) is Sequence for one in kinds):
        kind = list[Path]
    elif {str, Path} <= set(kinds):
        # text to the end: a Path makes s3:/bucket of an address
        kind, info = str, copy(info)
        info.metavar = info.metavar or "<path>"
    else:
        return annotation
    return Annotated[kind | None if NoneType in kinds else kind, info]


@cache
def as_function(command: Callable[..., T], name: str) -> Callable[..., T]:
    """A command as a function of Python, which refuses what its option does not take."""
    taken = FunctionType(command.__code__, command.__globals__)
    # what it gives may be imported for mypy alone
    taken.__annotations__ = {**command.__annotations__, "return": None}
    hints = get_type_hints(taken, include_extras=True)

    @wraps(command)
    def call(*args: Any, **named: Any) -> T:
        given = inspect.signature(command).bind(*args, **named).arguments
        for parameter, value in given.items():
            if wrong := _refused(value, hints[parameter]):
                raise ConfigError(f"{name}: {parameter}={value!r} is {wrong}")
        return command(*args, **named)

    call.__name__ = call.__qualname__ = name
    return call


def _refused(value: Any, hint: Any) -> str:
    """Why a value is none of an option's type or out of its bounds; "" for one that is right."""
    kind, *declared = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if not _is_a(kind, value):
        kinds = get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)
        return f"refused: it takes {' or '.join(map(_called, kinds))}"
    for one in declared if isinstance(value, Real) else ():
        least, most = getattr(one, "min", None), getattr(one, "max", None)
        # not turned round: nothing is above or below what is no number
        if not ((least is None or value >= least) and (most is None or value <= most)):
            bounds = {"at least": least, "at most": most}
            told = ", ".join(f"{word} {at:g}" for word, at in bounds.items() if at is not None)
            return f"out of bounds: {told}"
    return ""


def _is_a(kind: Any, value: Any) -> bool:
    parts = get_args(kind)
    match get_origin(kind):
        case None:
            # a bool is no number, and numpy has numbers of its own
            kind = {int: Integral, float: Real, Path: os.PathLike}.get(kind, kind)
            return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
        case origin if origin is Literal:
            return value in parts
        case origin if origin is Sequence:
            is_several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
            return is_several and all(_is_a(parts[0], one) for one in value)
    return any(_is_a(one, value) for one in parts)


def _called(kind: Any) -> str:
    """How a type is called in a message."""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    words = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
    return words.get(kind) or {NoneType: "None", Path: "a path"}.get(kind, "a list of them")
