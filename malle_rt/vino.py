"""OpenVINO without its telemetry: every import of it in this project goes through here.

On import, OpenVINO's tools tell an analytics service that they were imported and write an identifier into the user's
home, if the package ``openvino_telemetry`` is there. A None in its place makes its import fail, and they fall back to
a stub of their own. It must be in place before the first import of OpenVINO in the process.
"""

import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino as ov  # noqa: E402
from openvino import opset13  # noqa: E402
from openvino.frontend import NodeContext  # noqa: E402
from openvino.frontend.onnx import ConversionExtension  # noqa: E402
from openvino.utils.node_factory import NodeFactory  # noqa: E402

__all__ = ["ConversionExtension", "NodeContext", "NodeFactory", "opset13", "ov"]
