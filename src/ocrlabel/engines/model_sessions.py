"""An ONNX model as a function of an array, in OpenVINO or in onnxruntime. In a child process only.

Both compute in 32-bit floats on `threads` threads and never ask a network. The telemetry that
OpenVINO brings along belongs to its conversion tools, and is kept out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

_FIRST_BYTES = 1 << 20
_REGION_BYTES = 1 << 30
"""Address space, not memory: what is never written to is never taken. The detector needs about 110
bytes a pixel of the at most 2,000 x 2,000 that it looks at, so one region is enough, and freed
neighbours in it become one again."""
_SPLIT_ABOVE_BYTES = 1 << 16
_NEXT_POWER_OF_TWO = 0
_LINE_PX = 200_000
_CHARACTERS = "character"


class Session(Protocol):
    """A loaded model: what it can read, "" for a model that reads nothing, and its answers."""

    characters: tuple[str, ...]

    def __call__(self, batch: Any) -> Any:
        """The first output for a batch of images (count, 3, height, width), or for one."""
        ...


class OpenVino:
    """A model in OpenVINO, a quarter quicker than in onnxruntime where the processor has AVX-512.

    For images of any size it plans its memory without knowing it, and needs twice as much as for a
    known size, and keeps it: so pages, unlike lines, have a copy that is made for the size, in a
    quarter of a second, and kept for the next of that size. Pages cost a tenth more time so, and
    the process peaks at 530 MB instead of 640.
    """

    def __init__(self, path: Path, threads: int) -> None:
        # what its import looks for, and does without where it is not to be had
        sys.modules["openvino_telemetry"] = cast("ModuleType", None)
        import openvino  # noqa: PLC0415 -- where the plan says so

        self._core = openvino.Core()
        self._options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # on its own it ties thread n to core n, in each process: they would share one core
            "ENABLE_CPU_PINNING": False,
            # on its own it takes 16 bits where the processor can: other words on other machines
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self._model = self._core.read_model(path)
        written = ["framework", _CHARACTERS]
        known = self._model.has_rt_info(written)
        text = self._model.get_rt_info(written).value if known else ""
        self.characters = tuple(text.splitlines())
        self._any_size: Any = self._core.compile_model(self._model, "CPU", self._options)
        self._sized: tuple[tuple[int, ...], Any] = ((), None)

    def __call__(self, batch: Any) -> Any:
        """The first output."""
        compiled, pixels = self._any_size, batch.shape[2] * batch.shape[3]
        if pixels > _LINE_PX:
            if self._sized[0] != batch.shape:
                self._sized = ((), None)  # its memory goes before the next one takes some
                self._model.reshape(list(batch.shape))
                sized = self._core.compile_model(self._model, "CPU", self._options)
                self._sized = (batch.shape, sized)
            compiled = self._sized[1]
        answer = compiled([batch])[0]
        if pixels > _LINE_PX:
            # or it stays beside that of the lines to come
            compiled.release_memory()
        return answer


class OnnxRuntime:
    """A model in onnxruntime, with memory that all models of the process work in, in turn.

    By itself onnxruntime asks the system for each value between two steps of a model and gives it
    back: slow, because every page of memory is fetched anew, and it leaves holes that add up. Here
    all models use one region, which grows to what the largest page needed.
    """

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime  # noqa: PLC0415 -- where the plan says so

        _share_an_arena()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.use_env_allocators", "1")
        # A pattern is one block for a whole run, remembered for every size of page: pages differ
        # in size, and the block has half as much again as the run needs at any moment.
        options.enable_mem_pattern = False
        self._session = onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        about = self._session.get_modelmeta().custom_metadata_map
        self.characters = tuple(about.get(_CHARACTERS, "").splitlines())

    def __call__(self, batch: Any) -> Any:
        """The first output."""
        return self._session.run(None, {self._input: batch})[0]


@cache
def _share_an_arena() -> None:
    """Once a process: onnxruntime keeps what it shares among sessions for good."""
    import onnxruntime  # noqa: PLC0415

    onnxruntime.create_and_register_allocator(
        onnxruntime.OrtMemoryInfo(
            "Cpu",
            onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
            0,
            onnxruntime.OrtMemType.DEFAULT,
        ),
        onnxruntime.OrtArenaCfg(
            {
                "arena_extend_strategy": _NEXT_POWER_OF_TWO,
                "initial_chunk_size_bytes": _FIRST_BYTES,
                "initial_growth_chunk_size_bytes": _REGION_BYTES,
                "max_dead_bytes_per_chunk": _SPLIT_ABOVE_BYTES,
            }
        ),
    )


RUNTIMES: Mapping[str, Callable[[Path, int], Session]] = {
    "openvino": OpenVino,
    "onnxruntime": OnnxRuntime,
}
"""The model of a file, with so many threads."""
