"""OpenVINO without its telemetry, and ready for threads. All of this project imports it from here.

Telemetry: imported as it is, it sends an event over the network, from a forked process. Its own code does without that
package where it is missing, so it is made missing.

Threads: its bindings look NumPy up when they first meet an array. Two threads that do so at once can wait for each
other for ever (one has the lock of that first time and wants the interpreter's, the other the reverse), so the first
time is here, where an import lets one thread in.
"""

from __future__ import annotations

import sys

import numpy as np

if "openvino" not in sys.modules:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402
from openvino import opset13 as op  # noqa: E402

ov.Type.f32.to_dtype()
_ = ov.Tensor(np.zeros(1, dtype=np.float32), shared_memory=True).data

__all__ = ["op", "ov"]
