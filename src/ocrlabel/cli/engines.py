"""`ocrlabel engines` and `models`: who can read, and what rapidocr can have beside its wheel's."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from ocrlabel.cli import clocks
from ocrlabel.cli.settings import Json, everywhere, from_environment, open_store, option
from ocrlabel.engines import models
from ocrlabel.options import Options

_TITLES = {"tried": "ever run"}
models_app = typer.Typer(
    name="models",
    help="Models for --engine rapidocr beside those of its wheel. No run fetches any by itself.",
    no_args_is_help=True,
)


def engines(
    name: Annotated[
        str | None, typer.Argument(help="One of them: it is imported, and asked.")
    ] = None,
    *,
    engine_option: Annotated[list[str] | None, option("engine_option")] = None,
    as_json: Json = False,
) -> None:
    """The engines that --engine may name: ours, and those of installed packages.

    A package's engine is listed by its package's metadata, and imported only where it is named.

    For example:

        ocrlabel engines

        ocrlabel engines rapidocr
    """
    from ocrlabel.engines.plugins import OURS, about, listed, load

    known = [one for one in listed() if name in {None, one.name}]
    if name is not None and name not in {one.name for one in OURS}:
        given = Options.of({}, engine_option=engine_option or ()).engine_options
        engine = load(name, given)
        known = [about(engine, known[0].package)]
    if as_json:
        print(json.dumps([asdict(one) for one in known], ensure_ascii=False, indent=1))
        return
    for one in known:
        print(f"{one.name} ({one.package})")
        for what, value in asdict(one).items():
            if what not in {"name", "package"} and value:
                print(f"  {_TITLES.get(what, what):<12}{value}")


@models_app.command("list")
@everywhere
def list_() -> None:
    """Which models there are to get, and where those lie that are here.

    For example:

        ocrlabel models list
    """
    known, folder = models.listed(), _folder()
    for what, names in models.TO_GET.items():
        for name in names:
            path, there = models.path_of(folder, name), known[name]
            found, get_it = models.sha256_of(path), f"ocrlabel models get {what}"
            state = str(path) if found else f"not here: {get_it} (from {there.url})"
            if found not in {"", there.sha256}:
                state += f" is not as listed: {get_it}"
            print(f"{what:<8}{name:<28}{state}")


@models_app.command()
@everywhere
def get(
    what: Annotated[
        Literal["korean", "tiny"],
        typer.Argument(help="`korean` for --language ko; `tiny` for --model tiny."),
    ],
) -> None:
    """Fetch models from where rapidocr's own list says, check them, and keep them.

    For example:

        ocrlabel models get korean
    """
    known = models.listed()
    for name in models.TO_GET[what]:
        path = models.path_of(_folder(), name)
        if models.sha256_of(path) != known[name].sha256:
            _keep(path, _fetched(known[name]))
        print(path)


def _fetched(model: models.Model) -> bytes:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(model.name, total=None)

        def tell(done: int, size: int | None) -> None:
            bar.update(task, completed=done, total=size)

        return models.fetch(model, clocks.boot_s, tell)


@models_app.command()
@everywhere
def add(
    file: Annotated[Path, typer.Argument(help="Fetched elsewhere.", exists=True, dir_okay=False)],
) -> None:
    """Keep a model of a machine without a network: its SHA-256 says which one it is.

    For example:

        ocrlabel models add korean_PP-OCRv5_rec_mobile.onnx
    """
    path = models.path_of(_folder(), models.recognised(file).name)
    _keep(path, file.read_bytes())
    print(path)


def _folder() -> Path:
    return models.cache_folder(from_environment().variables)


def _keep(path: Path, data: bytes) -> None:
    asyncio.run(open_store(str(path.parent), from_environment()).put(path.name, data))
