"""Before anything is paid for: a look whether the images are there at all."""

from __future__ import annotations

from ocrlabel.errors import ConfigError, ImageError
from ocrlabel.labels import FailureClass, ImageRef
from ocrlabel.pipeline.run_context import RunInput
from ocrlabel.wording import counted

_SAMPLE_ROWS = 20
_SHOWN = 200  # characters of a path, or of what stands in its place
_ABSENT = frozenset({FailureClass.NOT_FOUND, FailureClass.NOT_ALLOWED})


async def refuse_without_images(dataset: RunInput) -> None:
    """Raise ConfigError when not one of a sample of images is there."""
    # spread evenly: the first, the last, and some between; all where there are few
    steps = (step / (_SAMPLE_ROWS - 1) for step in range(_SAMPLE_ROWS) if dataset.rows)
    ordinals = sorted({round(step * (dataset.rows - 1)) for step in steps})
    absent: list[tuple[ImageRef, str]] = []
    for ordinal in ordinals:
        (ref,) = dataset.refs(ordinal, ordinal + 1)
        try:
            await dataset.read(ref)
        except ImageError as error:
            if error.failure in _ABSENT:
                absent.append((ref, error.message))
    if not ordinals or len(absent) < len(ordinals):
        return
    ref, message = absent[0]
    places = "".join(f"\n    {place[:_SHOWN]}" for place in dataset.looked(ref)[:8])
    raise ConfigError(
        f"none of {counted(len(ordinals), 'image')} looked for was found;"
        f" the first is {ref.path[:_SHOWN]!r} (row {ref.ordinal}, id {ref.id[:_SHOWN]})"
        + (f"\n  looked for at:{places}" if places else f"\n  {message}")
        + "\n  name the folder that the paths start from with --image-root,"
        f" or put table and images together with: {_push(dataset.describe())}"
    )


def _push(described: str) -> str:
    """The command; for a table that was copied into a bucket all of it, as it is typed at home."""
    address, _, _ = described.partition(" (ids: ")
    if not (address.startswith("s3://") and address.endswith(".parquet")):
        return "ocrlabel push"
    key = address.removeprefix("s3://").partition("/")[2]
    return f"ocrlabel push {key} {address} --pack"
