"""Every format by name. A new one is a file beside this one, and a line here."""

from collections.abc import Mapping

from tutelage.exporters import onnx, torch_export
from tutelage.exporters.exporter import Exporter

EXPORTERS: Mapping[str, Exporter] = {
    module.EXPORTER.name: module.EXPORTER for module in (onnx, torch_export)
}
