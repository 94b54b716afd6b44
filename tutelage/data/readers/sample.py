"""The bundled sample: 13,000 Fashion-MNIST images of 10 classes, the test part unlabelled."""

from tutelage.data.readers.archive import scan_archive
from tutelage.data.readers.layout import infer_layout
from tutelage.data.readers.reader import Reader
from tutelage.data.readers.source import Source
from tutelage.data.readers.zip import SAMPLE


def open_sample() -> Source:
    """Open the bundled sample."""
    about = {"kind": "sample", "name": "fashion-mnist"}
    return infer_layout(scan_archive(SAMPLE), about, where=SAMPLE)


READER = Reader(
    "the bundled sample",
    accepts=lambda text, _path: text == "sample",
    open=lambda _text, _path, _settings: open_sample(),
)
