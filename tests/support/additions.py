"""One addition of each kind that CONTRIBUTING.md describes, made to a copy of the package.

Each lists the files that it writes, and the lines that it puts into files that are there already.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Insert(NamedTuple):
    """Text put into a file."""

    after: str
    """A part of the file, which occurs in it; empty: the end."""

    text: str


class Addition(NamedTuple):
    """An addition to the package."""

    files: Mapping[str, str]
    """Path below the package -> content of a new file."""

    inserts: Mapping[str, tuple[Insert, ...]]
    """Path below the package -> what is put into a file that is there already."""

    def apply(self, package: Path) -> None:
        """Make the addition to a copy of the package."""
        for path, content in self.files.items():
            assert not (package / path).exists(), path
            (package / path).write_text(content, encoding="utf-8")
        for path, inserts in self.inserts.items():
            text = (package / path).read_text(encoding="utf-8")
            for insert in inserts:
                before, found, rest = text.partition(insert.after or text)
                assert found, f"{path}: {insert.after}"
                text = before + found + insert.text + rest
            (package / path).write_text(text, encoding="utf-8")


LOSS = Addition(
    {
        "losses/response/plain.py": '''"""The mean distance of logits."""

from torch import Tensor

from tutelage.config.losses.response import PlainConfig
from tutelage.losses.precision import in_full_precision
from tutelage.losses.response.logits import LogitTerm, check_logits
from tutelage.types import Batch


@in_full_precision
def plain_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Compute mean |s - t| of logits [B, C]."""
    check_logits(student_logits, teacher_logits)
    return (student_logits - teacher_logits.detach()).abs().mean()


class PlainTerm(LogitTerm):
    """`plain_loss` as a term."""

    name = "plain"
    settings: PlainConfig = PlainConfig()
    across_batch = False

    def compare(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Return `plain_loss`."""
        return plain_loss(student, teacher)
''',
        "recipes/losses/plain.toml": "# Mean distance of logits.\n[losses.plain]\nweight = 0.5\n",
    },
    {
        "config/losses/response.py": (
            Insert(
                "",
                "\n\n@dataclass(frozen=True, kw_only=True)\nclass PlainConfig(LogitLossConfig):\n"
                '    """The mean distance of logits."""\n',
            ),
        ),
        "config/objective.py": (
            Insert(
                "hard_label: response.HardLabelConfig | None = None\n",
                "    plain: response.PlainConfig | None = None\n",
            ),
        ),
    },
)

METHOD = Addition(
    {
        "methods/self/doubled.py": '''"""A student and nothing else: the label alone."""

from collections.abc import Sequence

from tutelage.config.methods import MethodConfig
from tutelage.methods.factory import TrainingFacts
from tutelage.methods.offline import OfflineDistillation, supervised_training
from tutelage.models.preprocess import Classifier


def build_doubled(
    _settings: MethodConfig, student: Classifier, _others: Sequence[Classifier], facts: TrainingFacts
) -> OfflineDistillation:
    """Build it."""
    return supervised_training(student, label_smoothing=facts.label_smoothing)
''',
        "methods/specs/doubled.py": '''"""A method that learns from the label alone."""

from tutelage.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="doubled",
    family="self",
    line="nobody",
    source="Nobody 2026",
    builder="self.doubled:build_doubled",
)
''',
        "recipes/methods/doubled.toml": '# The label alone.\nmethod = "doubled"\n',
    },
    {
        "config/methods.py": (
            Insert('    "mean-teacher",\n', '    "doubled",\n'),
            Insert('    "mean-teacher": "mean teacher",\n', '    "doubled": "label alone",\n'),
        ),
        "methods/registry.py": (
            Insert("    mean_teacher,\n", "    doubled,\n"),
            Insert("        mean_teacher,\n", "        doubled,\n"),
        ),
    },
)

TEACHER_SOURCE = Addition(
    {
        "teachers/note.py": '''"""A text file that names the folder of a teacher."""

from pathlib import Path


def read_note(path: Path) -> Path:
    """Return the folder that a file `NAME.note` names."""
    return Path(path.read_text(encoding="utf-8").strip())
''',
    },
    {
        "teachers/load.py": (
            Insert(
                "from tutelage.models.model_folder import SavedModel, load_model, network_folder\n",
                "from tutelage.teachers.note import read_note\n",
            ),
            Insert(
                "    saved = load_model(network_folder(",
                'read_note(path) if path.suffix == ".note" else ',
            ),
        )
    },
)

READER = Addition(
    {
        "data/readers/shortcut.py": '''"""A text file that names a folder of images."""

from pathlib import Path

from tutelage.config.data import DataConfig
from tutelage.data.readers.folder import open_folder
from tutelage.data.readers.reader import Reader
from tutelage.data.readers.source import Source


def open_shortcut(_text: str, path: Path, settings: DataConfig) -> Source:
    """Open the folder that the file names."""
    return open_folder(Path(path.read_text().strip()), settings)


READER = Reader(
    "a shortcut", lambda _text, path: path.suffix == ".shortcut" and path.is_file(), open_shortcut
)
''',
    },
    {
        "data/readers/open.py": (
            Insert("from tutelage.data.readers import archive, builtin, folder,", " shortcut,"),
            Insert("READERS: tuple[Reader, ...] = (\n", "    shortcut.READER,\n"),
        )
    },
)

EXPORTER = Addition(
    {
        "exporters/traced.py": '''"""TorchScript: a traced file that PyTorch runs."""

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from tutelage.config.data import DataConfig
from tutelage.exporters.check import require_same_outputs
from tutelage.exporters.exporter import Exporter, ExportResult, PixelsToLogits
from tutelage.models.preprocess import Classifier
from tutelage.storage.atomic import write_bytes


def export_traced(
    classifier: Classifier,
    path: Path,
    images: Tensor,
    _classes: Sequence[str],
    _settings: DataConfig,
) -> ExportResult:
    """Write and check one file."""
    graph = PixelsToLogits(classifier).eval()
    with torch.no_grad():
        traced = torch.jit.trace(graph, images[:2])
    difference = require_same_outputs(traced, graph, images)
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer)
    write_bytes(path, buffer.getvalue())
    return ExportResult(path, len(buffer.getvalue()), difference)


EXPORTER = Exporter("traced", ".ts", "TorchScript", export_traced)
''',
    },
    {
        "exporters/registry.py": (
            Insert("from tutelage.exporters import onnx, torch_export", ", traced"),
            Insert("in (onnx, torch_export", ", traced"),
        )
    },
)

TRACKER = Addition(
    {
        "engine/trackers/plaintext.py": '''"""A text file with a line for each epoch."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutelage.engine.trackers.tracker import TrackedRun


class PlaintextTracker:
    """Write `epoch accuracy` into a file."""

    def start(self, run: TrackedRun) -> Collection[int]:
        """Begin anew."""
        run.folder.mkdir(parents=True, exist_ok=True)
        self._path = run.folder / f"{run.name}.txt"
        self._path.write_text("")
        return ()

    def where(self) -> str:
        """The file."""
        return str(self._path)

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add a line."""
        with self._path.open("a") as file:
            file.write(f"{epoch} {metrics['val/accuracy']}\\n")

    def summary(self, metrics: Mapping[str, float], *, epoch: int) -> None:
        """Nothing more."""

    def image(self, name: str, pixels: NDArray[np.uint8], *, epoch: int) -> None:
        """No images."""

    def artifact(self, path: Path) -> None:
        """No files."""

    def finish(self, *, complete: bool) -> None:
        """Nothing to close."""
''',
    },
    {
        "engine/trackers/registry.py": (
            Insert(
                "from tutelage.engine.trackers.mlflow import MLflowTracker\n",
                "from tutelage.engine.trackers.plaintext import PlaintextTracker\n",
            ),
            Insert(
                "TRACKERS: Mapping[str, TrackerSpec] = {\n",
                '    "plaintext": TrackerSpec("json", PlaintextTracker),\n',
            ),
        ),
        "config/tracking.py": (Insert("TrackerName = Literal[", '"plaintext", '),),
    },
)

SCHEDULE = Addition(
    {},
    {
        "engine/train/schedules.py": (
            Insert(
                "    return 1 - done\n",
                "\n\ndef square(done: float, _settings: OptimizationConfig) -> float:\n"
                '    """Lower the rate along a parabola."""\n    return (1 - done) ** 2\n',
            ),
            Insert('    "linear": linear,\n', '    "square": square,\n'),
        ),
        "config/training.py": (Insert('schedule: Literal["constant", ', '"square", '),),
    },
)

COMMAND = Addition(
    {
        "cli/count.py": '''"""The verb that counts."""

from typing import Annotated

from cyclopts import Parameter


def count(data: Annotated[str, Parameter(help="A folder, CSV, zip or dataset name")]) -> str:
    """Count images."""
    from tutelage.commands.count import count as count_images

    return f"{count_images(data)} images"
''',
        "commands/count.py": '''"""Count the images of a dataset."""

from tutelage.config.data import DataConfig
from tutelage.data.readers.open import open_source


def count(data: str) -> int:
    """Return how many images a dataset lists."""
    return len(open_source(data, DataConfig()).items)
''',
    },
    {
        "cli/verbs.py": (
            Insert("VERBS = {\n", '    **_verbs("Inspect", "count", count="Count images."),\n'),
        )
    },
)

ADDITIONS = {
    "A loss": LOSS,
    "A method": METHOD,
    "A teacher source": TEACHER_SOURCE,
    "A reader": READER,
    "An exporter": EXPORTER,
    "A tracker": TRACKER,
    "A learning-rate schedule": SCHEDULE,
    "A command": COMMAND,
}
"""By the heading of CONTRIBUTING.md."""
