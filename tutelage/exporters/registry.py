"""All exporters by name. A new one is a file in this folder and a line here."""

from collections.abc import Mapping

from tutelage.exporters import onnx, torch_export
from tutelage.exporters.exporter import Exporter

EXPORTERS: Mapping[str, Exporter] = {
    module.EXPORTER.name: module.EXPORTER for module in (onnx, torch_export)
}
