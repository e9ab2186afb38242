"""OpenVINO without its telemetry: imported as it is, it sends an event over the network, from a forked process.

Its own code does without that package where it is missing, so it is made missing. All of this project imports OpenVINO
from here.
"""

from __future__ import annotations

import sys

if "openvino" not in sys.modules:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402
from openvino import opset13 as op  # noqa: E402

__all__ = ["op", "ov"]
