"""Models that rapidocr's wheel does not hold: fetched on command, checked, kept in a cache folder.

rapidocr's own list says where each lies and what its SHA-256 is. Its downloader is not used: it
checks nothing that it has fetched, and leaves half a file. No run fetches anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ocrlabel.errors import ConfigError

KOREAN = "korean_PP-OCRv5_rec_mobile"
TO_GET: Mapping[str, tuple[str, ...]] = {
    "korean": (KOREAN,),
    "tiny": ("PP-OCRv6_det_tiny", "PP-OCRv6_rec_tiny"),
}
"""What `ocrlabel models get` takes, and the models that it is."""

NO_CACHE = Path("/nonexistent")

_LEAST_BYTES_PER_S = 10_000


@dataclass(frozen=True, slots=True)
class Model:
    """A model of rapidocr's list."""

    name: str
    url: str
    sha256: str


def cache_folder(variables: Mapping[str, str]) -> Path:
    """The user's, where models are kept. variables: of the environment."""
    cache = variables.get("XDG_CACHE_HOME") or f"{variables.get('HOME', '')}/.cache"
    return Path(cache) / "ocrlabel" / "models"


def path_of(folder: Path, name: str) -> Path:
    """Where a model is kept, if it is there."""
    return folder / f"{name}.onnx"


def sha256_of(path: Path) -> str:
    """Of the file, "" where there is none. Raises ConfigError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


def in_cache(folder: Path, name: str) -> str:
    """The model's name and its SHA-256, "" where it is not there."""
    sha256 = sha256_of(path_of(folder, name))
    return sha256 and f"{name} {sha256}"


def command_for(name: str) -> str:
    """What brings a model into the cache."""
    return next(f"ocrlabel models get {what}" for what, names in TO_GET.items() if name in names)


def listed() -> dict[str, Model]:
    """Rapidocr's list, by the names of files. Raises ConfigError where it is not installed."""
    found = find_spec("rapidocr")
    if found is None or not found.origin:
        raise ConfigError("models are of rapidocr: in the clone, pip install '.[local]'")
    import yaml  # noqa: PLC0415 -- of rapidocr

    text = Path(found.origin).with_name("default_models.yaml").read_text(encoding="utf-8")
    families = yaml.safe_load(text)["onnxruntime"].values()
    entries = [one for parts in families for part in parts.values() for one in part.values()]
    known = {
        (name := Path(one["model_dir"]).stem): Model(name, one["model_dir"], one["SHA256"])
        for one in entries
        if isinstance(one, dict)  # and no alias
    }
    if missing := [name for names in TO_GET.values() for name in names if name not in known]:
        raise ConfigError(
            f"this rapidocr does not list {', '.join(missing)}: pip install 'rapidocr>=3.10,<4'"
        )
    return known


def fetch(
    model: Model,
    clock: Callable[[], float],
    tell: Callable[[int, int | None], None],
    *,
    patience_s: float = 30.0,
) -> bytes:
    """The model's bytes, checked. Raises ConfigError.

    clock: in s. tell: how many bytes are here, of how many. patience_s: how long nothing may come,
    and after how long it is too slow if less than 10 kB/s have come.
    """
    import httpx2  # noqa: PLC0415 -- not for a run

    from ocrlabel.engines.upstage import is_loopback  # noqa: PLC0415 -- as above

    began_s, data, host = clock(), bytearray(), httpx2.URL(model.url).host
    try:
        how: dict[str, Any] = {"timeout": patience_s, "trust_env": not is_loopback(model.url)}
        with httpx2.stream("GET", model.url, follow_redirects=True, **how) as answer:
            if answer.status_code != httpx2.codes.OK:
                raise _failed(model, f"{host} answers {answer.status_code}")
            size = int(answer.headers.get("Content-Length", 0)) or None
            for chunk in answer.iter_bytes():
                data += chunk
                tell(len(data), size)
                spent_s = clock() - began_s
                if spent_s > patience_s and len(data) < _LEAST_BYTES_PER_S * spent_s:
                    raise _failed(model, f"{host} is too slow: {len(data):,} B in {spent_s:.0f} s")
    except httpx2.TimeoutException as error:
        silent = f"nothing came from {host} for {patience_s:g} s, after {len(data):,} B"
        raise _failed(model, silent) from error
    except (httpx2.HTTPError, OSError, ImportError, ValueError) as error:
        cut = f"the connection to {host} was cut after {len(data):,} B" if data else str(error)
        raise _failed(model, cut) from error
    seen = hashlib.sha256(data).hexdigest()
    if seen != model.sha256:
        raise _failed(model, f"{host} sent another file ({seen[:12]}...): perhaps a proxy's page")
    return bytes(data)


def _failed(model: Model, why: str) -> ConfigError:
    return ConfigError(
        f"{model.name} was not fetched: {why}\n"
        f"  try again; or fetch {model.url} elsewhere, and then: ocrlabel models add FILE"
    )


def recognised(path: Path) -> Model:
    """Which model of those that can be got a file is, by its SHA-256. Raises ConfigError."""
    sha256 = sha256_of(path)
    known = {model.sha256: model for model in listed().values()}.get(sha256)
    ours = [name for names in TO_GET.values() for name in names]
    if known is None or known.name not in ours:
        what = f"{known.name}, which is not used" if known else f"none of them (SHA-256 {sha256})"
        raise ConfigError(f"{path}: {', '.join(ours)} can be added, and this is {what}")
    return known
