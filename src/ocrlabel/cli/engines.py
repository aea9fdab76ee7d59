"""`ocrlabel engines`: which engines there are, and what each says of itself."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from ocrlabel.cli.settings import Json, option
from ocrlabel.options import Options

_TITLES = {"tried": "ever run"}


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
