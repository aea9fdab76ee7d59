"""The written-down Arrow schemas of the two tables that a run leaves.

The first eleven columns of the labels table are the predecessor's `OCRStorageItem`, so its readers
go on working; the rest is ours. A change here is a change of SCHEMA_VERSION and of the golden
file tests/golden/tables.txt.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = "v2.0"
PREDECESSOR_VERSION = "v1.0"

_TIME = pa.timestamp("us", tz="UTC")
_POLYGONS = pa.list_(pa.list_(pa.list_(pa.float64())))

_LABELS: dict[str, pa.DataType] = {
    "schema_version": pa.string(),
    "id": pa.string(),
    "split": pa.string(),
    "image_path": pa.string(),
    "image_filename": pa.string(),
    "width": pa.int64(),
    "height": pa.int64(),
    "polygons": _POLYGONS,
    "texts": pa.list_(pa.string()),
    "labels": pa.list_(pa.string()),
    "metadata": pa.struct([("original_source", pa.string())]),
    "confidences": pa.list_(pa.float64()),
    "page_confidence": pa.float64(),
    "page": pa.int32(),
    "page_count": pa.int32(),
    "engine": pa.string(),
    "model_version": pa.string(),
    "image_sha256": pa.string(),
    "attempts": pa.int32(),
    "latency_s": pa.float64(),
    "billed_pages": pa.int32(),
    "labelled_at": _TIME,
    "source": pa.string(),
    "input_row": pa.string(),
}

_FAILURES: dict[str, pa.DataType] = {
    "schema_version": pa.string(),
    "ordinal": pa.int64(),
    "id": pa.string(),
    "image_path": pa.string(),
    "failure_class": pa.string(),
    "message": pa.string(),
    "attempts": pa.int32(),
    "retryable": pa.bool_(),
    "engine": pa.string(),
    "image_sha256": pa.string(),
    "failed_at": _TIME,
}

LABELS = pa.schema(_LABELS)
FAILURES = pa.schema(_FAILURES)

NEEDED_OF_LABELS = ("id", "image_path", "width", "height", "polygons", "texts")
"""Without these a table is no labels table, ours or the predecessor's."""


def listing(schema: pa.Schema) -> str:
    """One line a column, name and type, as the golden file and the docs show it."""
    width = max(len(name) for name in schema.names)
    return "\n".join(
        f"{column.name:<{width}}  {str(column.type).replace('item: ', '')}" for column in schema
    )
