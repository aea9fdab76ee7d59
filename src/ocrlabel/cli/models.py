"""`ocrlabel models`: what the embedded engine can have beside the models of its wheel."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ocrlabel.cli import clocks
from ocrlabel.cli.settings import everywhere, from_environment, open_store

if TYPE_CHECKING:
    from ocrlabel.engines.models import Model

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
    from ocrlabel.engines.models import TO_GET, cache_folder, listed, path_of, sha256_of

    known, folder = listed(), cache_folder(from_environment().variables)
    for what, names in TO_GET.items():
        for name in names:
            path, there, get_it = path_of(folder, name), known[name], f"ocrlabel models get {what}"
            found = sha256_of(path)
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
    from ocrlabel.engines.models import TO_GET, cache_folder, listed, path_of, sha256_of

    known, folder = listed(), cache_folder(from_environment().variables)
    for model in map(known.__getitem__, TO_GET[what]):
        if sha256_of(path_of(folder, model.name)) != model.sha256:
            _keep(folder, model.name, _fetched(model))
        print(path_of(folder, model.name))


def _fetched(model: Model) -> bytes:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from ocrlabel.engines.models import fetch

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(model.name, total=None)

        def tell(done: int, size: int | None) -> None:
            bar.update(task, completed=done, total=size)

        return fetch(model, clocks.boot_s, tell)


@app.command()
@everywhere
def add(
    file: Annotated[Path, typer.Argument(help="A model that was fetched elsewhere.")],
) -> None:
    """Keep a model of a machine without a network: its SHA-256 says which one it is.

    For example:

        ocrlabel models add korean_PP-OCRv5_rec_mobile.onnx
    """
    from ocrlabel.engines.models import cache_folder, path_of, recognised

    model, folder = recognised(file), cache_folder(from_environment().variables)
    _keep(folder, model.name, file.read_bytes())
    print(path_of(folder, model.name))


def _keep(folder: Path, name: str, data: bytes) -> None:
    """Whole or not at all. Raises ConfigError where it cannot be written."""
    from ocrlabel.engines.models import path_of

    store = open_store(str(folder), from_environment())
    asyncio.run(store.put(path_of(folder, name).name, data))
