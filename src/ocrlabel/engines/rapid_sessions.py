"""rapidocr's models in sessions of our own, which share the memory that they work in.

The models, their options and so their answers stay as rapidocr has them; only where the values
between two steps of a model lie is different. rapidocr asks the system for each of them and gives
it back: slow, because every page of memory is fetched anew, and it leaves holes that add up. Here
all three models take turns in one region, which grows to what the largest page needed and is
used again for the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

_FIRST_BYTES = 1 << 20
_REGION_BYTES = 1 << 30
"""Address space, not memory: what is never written to is never taken. The detector needs about 110
bytes a pixel of the at most 2,000 x 2,000 that it looks at, so one region is enough, and freed
neighbours in it become one again."""

_SPLIT_ABOVE_BYTES = 1 << 16
_NEXT_POWER_OF_TWO = 0


def sessions(models: Mapping[str, Path], threads: int) -> dict[str, object]:
    """A session for each part (Det, Cls, Rec). threads: of each."""
    _share_an_arena()
    return {
        part: (RowByRow if part == "Rec" else onnxruntime.InferenceSession)(
            str(path), sess_options=_options(threads), providers=["CPUExecutionProvider"]
        )
        for part, path in models.items()
    }


class RowByRow(onnxruntime.InferenceSession):  # type: ignore[misc]  # the library has no types
    """Runs a batch one row after the other: the same values, a sixth of the memory, no slower.

    The recogniser gives 18,710 numbers for every 8 px of a line, and holds them twice: for six long
    lines at once that is more than all else on a page.
    """

    def run(self, names: Any, inputs: Mapping[str, Any], options: Any = None) -> list[Any]:
        """The first output of the batch."""
        ((name, batch),) = inputs.items()
        whole: Any = None
        for number in range(len(batch)):
            (row,) = super().run(names, {name: batch[number : number + 1]}, options)
            if whole is None:
                whole = np.empty((len(batch), *row.shape[1:]), row.dtype)
            whole[number] = row[0]
        return [whole]


@cache
def _share_an_arena() -> None:
    """Once a process: onnxruntime keeps what it shares among sessions for good."""
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


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.use_env_allocators", "1")
    # A pattern is one block for a whole run, remembered for every size of page: pages differ in
    # size, and the block has half as much again as the run needs at any moment.
    options.enable_mem_pattern = False
    return options
