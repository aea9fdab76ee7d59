"""`ocrlabel models`: what the embedded engine can have beside the models of its wheel."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from ocrlabel.cli import clocks
from ocrlabel.cli.settings import everywhere, from_environment, open_store
from ocrlabel.engines import models

app = typer.Typer(
    name="models",
    help="Models for --engine rapidocr beside those of its wheel. No run fetches any by itself.",
    no_args_is_help=True,
)


@app.command("list")
@everywhere
def list_() -> None:
    """Which models there are to get, and where those lie that are here.

    For example:

        ocrlabel models list
    """
    known, folder = models.listed(), _folder()
    for what, names in models.TO_GET.items():
        for name in names:
            path, there, get_it = (
                models.path_of(folder, name),
                known[name],
                f"ocrlabel models get {what}",
            )
            found = models.sha256_of(path)
            state = str(path) if found else f"not here: {get_it} (from {there.url})"
            if found not in {"", there.sha256}:
                state += f" is not as listed: {get_it}"
            print(f"{what:<8}{name:<28}{state}")


@app.command()
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


@app.command()
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
