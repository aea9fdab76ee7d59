"""Models of the interface of PP-OCR's, small enough for a test to make them."""

from __future__ import annotations

import hashlib
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ocrlabel.engines.models import KOREAN, TO_GET, path_of

SYLLABLE = "합"
_CHARACTERS = f"{SYLLABLE}\n계"
_STEP_PX = 8
_SURE = 2_000.0
_ABOVE = 0.02


def korean_recogniser() -> bytes:
    """Reads each run of columns with ink as the same syllable, very sure of it.

    In: (lines, 3, 48, width) from -1 to 1; out: (lines, width / 8, blank, characters and space).
    """
    columns = np.full((1, 3, 48, _STEP_PX), 1 / (3 * 48 * _STEP_PX), np.float32)
    weights = np.concatenate([-_SURE * columns, _SURE * columns, 0 * columns, 0 * columns])
    bias = np.array([_SURE * _ABOVE, -_SURE * _ABOVE, -_SURE, -_SURE], np.float32)
    nodes = [
        # the darkness: 0 where it is white, or the grey that a line is padded with
        helper.make_node("Neg", ["x"], ["negative"]),
        helper.make_node("Relu", ["negative"], ["dark"]),
        helper.make_node(
            "Conv", ["dark", "weights", "bias"], ["seen"], strides=[48, _STEP_PX], name="columns"
        ),
        helper.make_node("Squeeze", ["seen", "row"], ["flat"]),
        helper.make_node("Transpose", ["flat"], ["steps"], perm=[0, 2, 1]),
        helper.make_node("Softmax", ["steps"], ["chances"], axis=2),
    ]
    graph = helper.make_graph(
        nodes,
        "korean",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["lines", 3, 48, "width"])],
        [helper.make_tensor_value_info("chances", TensorProto.FLOAT, ["lines", "steps", 4])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(bias, "bias"),
            numpy_helper.from_array(np.array([2]), "row"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"character": _CHARACTERS})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def korean_in(cache: Path) -> str:
    """Put it there under the name of the real one; the SHA-256."""
    cache.mkdir(parents=True, exist_ok=True)
    data = korean_recogniser()
    path_of(cache, KOREAN).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def tiny_in(cache: Path) -> None:
    """Put the small models there as the tiny ones, which have the same interface."""
    cache.mkdir(parents=True, exist_ok=True)
    found = find_spec("rapidocr")
    assert found is not None
    assert found.origin is not None
    for name in TO_GET["tiny"]:
        wheel = Path(found.origin).parent / "models"
        shutil.copy(path_of(wheel, name.replace("tiny", "small")), path_of(cache, name))
