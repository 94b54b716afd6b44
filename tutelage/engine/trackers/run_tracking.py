"""A run as its trackers see it: the events of its journal become points, images and files."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tutelage.engine.checkpoint.random_state import read_random_state, restore_random_state
from tutelage.engine.trackers.confusion import draw_confusion
from tutelage.engine.trackers.metrics import epoch_metrics, final_metrics, gradient_metrics
from tutelage.engine.trackers.tracker import TrackedRun, Tracker
from tutelage.storage.atomic import read_json

Timings = Callable[[], Sequence[Mapping[str, float]]]


class RunTracking:
    """Hand the events of a run's journal to its trackers; only the first process of a run has one.

    A tracker that fails is reported once and left out. Nothing that a tracker does reaches the run, not even
    the random numbers it draws.
    """

    def __init__(
        self,
        run: TrackedRun,
        trackers: Mapping[str, Tracker],
        *,
        folder: Path,
        timings: Timings,
        line: Callable[[str], None],
    ) -> None:
        """Nothing is started before the journal is rewound.

        Args:
            run: for the trackers.
            trackers: by the name that `--track` gives them.
            folder: of the run, where its scores are at the end.
            timings: of the epochs so far, which the journal does not hold.
            line: prints a line.
        """
        self._run, self._trackers, self._folder = run, trackers, folder
        self._timings, self._line = timings, line
        self._started: dict[str, Tracker] = {}
        self._kept: dict[str, Collection[int]] = {}
        self._gradients: dict[str, float] = {}
        self._complete = False

    def rewound(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Start the trackers and bring them to where the journal stands: no point twice, none missing."""
        self._started = dict(self._trackers)
        self._each(self._start)
        for event in events:
            self.written(event)

    def written(self, event: Mapping[str, Any]) -> None:
        """Log what an event is about."""
        kind = event["event"]
        if kind == "gradients":  # of the epoch that is yet to end
            self._each(lambda _name, _one: self._gradients.update(gradient_metrics(event)))
        elif kind == "epoch":
            self._each(lambda name, one: self._log_epoch(name, one, event))
            self._gradients = {}
        elif kind == "end":
            self._complete = True
            self._each(self._log_scores)

    def closed(self) -> None:
        """End or pause the tracked run."""
        self._each(lambda _name, one: one.finish(complete=self._complete))
        self._started = {}

    def finish_with(self, paths: Sequence[Path]) -> None:
        """Add copies of files to the tracked run, and end it."""
        for path in paths:
            self._each(lambda _name, one, path=path: one.artifact(path))  # type: ignore[misc]
        self._complete = True
        self.closed()

    def _start(self, name: str, tracker: Tracker) -> None:
        self._kept[name] = tracker.start(self._run)
        self._line(f"tracked by {name}: {tracker.where()}")

    def _log_epoch(self, name: str, tracker: Tracker, event: Mapping[str, Any]) -> None:
        epoch, timings = event["epoch"], self._timings()
        timed = timings[epoch - 1] if epoch <= len(timings) else {}
        # An epoch that is trained once more after an interruption gives the same points.
        if epoch not in self._kept[name]:
            tracker.log(epoch, {**epoch_metrics(event, timed), **self._gradients})

    def _log_scores(self, _name: str, tracker: Tracker) -> None:
        scores = read_json(self._folder / "scores.json")
        epoch = scores["epochs"]
        tracker.summary(final_metrics(scores), epoch=epoch)
        for split in ("val", "test"):
            if found := scores["last"].get(split):
                classes = [one["class"] for one in found["per_class"]]
                pixels = draw_confusion(found["confusion"], classes)
                tracker.image(f"confusion/{split}", pixels, epoch=epoch)

    def _each(self, action: Callable[[str, Tracker], None]) -> None:
        """Let every tracker do something; one that cannot is left out from here on."""
        with _same_random_numbers():
            for name, tracker in list(self._started.items()):
                try:
                    action(name, tracker)
                except Exception as error:  # whatever a server, a disk or a package does
                    del self._started[name]
                    reason = (str(error) or type(error).__name__).splitlines()[0]
                    self._line(f"{name} failed and is left out, the run goes on: {reason}")


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    """Put the generators back to where they stood: packages may draw from them."""
    before = read_random_state()
    try:
        yield
    finally:
        restore_random_state(before)
