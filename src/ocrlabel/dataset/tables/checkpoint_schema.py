"""The columns of a checkpoint: an input row, what became of it, every request, the raw answer."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

CHECKPOINT_SCHEMA_VERSION = "v2.0"

_ATTEMPT = pa.struct(
    [
        pa.field("number", pa.int32()),
        pa.field("lane", pa.string()),
        pa.field("sent_at", pa.timestamp("us", tz="UTC")),
        pa.field("latency_s", pa.float64()),
        pa.field("result", pa.string()),
        pa.field("status", pa.int32()),
        pa.field("message", pa.string()),
        pa.field("billed_pages", pa.int32()),
        pa.field("worker", pa.string()),
        pa.field("pages", pa.int32()),
    ]
)
_PAGE = pa.struct(
    [
        pa.field("number", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("confidence", pa.float64()),
        pa.field("texts", pa.list_(pa.string())),
        pa.field("polygons", pa.list_(pa.list_(pa.list_(pa.float64())))),
        pa.field("confidences", pa.list_(pa.float64())),
    ]
)
_FIELDS: list[pa.Field[Any]] = [
    pa.field("ordinal", pa.int64()),
    pa.field("id", pa.string()),
    pa.field("image_path", pa.string()),
    pa.field("embedded", pa.bool_()),
    pa.field("original_source", pa.string()),
    pa.field("input_row", pa.string()),
    pa.field("outcome", pa.string()),
    pa.field("key", pa.string()),
    pa.field("image_sha256", pa.string()),
    pa.field("engine", pa.string()),
    pa.field("model_version", pa.string()),
    pa.field("at", pa.timestamp("us", tz="UTC")),
    pa.field("latency_s", pa.float64()),
    pa.field("billed_pages", pa.int32()),
    pa.field("copied", pa.bool_()),
    pa.field("failure_class", pa.string()),
    pa.field("message", pa.string()),
    pa.field("retryable", pa.bool_()),
    pa.field("attempts", pa.list_(_ATTEMPT)),
    pa.field("pages", pa.list_(_PAGE)),
    pa.field("raw", pa.binary()),
]
CHECKPOINT_SCHEMA = pa.schema(_FIELDS)
