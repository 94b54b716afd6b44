"""The images of the run that a network comes from, found again from its folder alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.config.data import DataConfig
from tutelage.config.renamed import current_names
from tutelage.config.schema import build
from tutelage.data.pack.pack import open_pack
from tutelage.data.readers.source import Source
from tutelage.data.split_index import SplitIndex, index_of_pack, read_split
from tutelage.errors import InputError, TutelageError
from tutelage.storage.checksums import read_sealed
from tutelage.storage.json_files import LARGEST_JSON, parse_json, read_file


class RunImages(NamedTuple):
    """What is known of a run's images."""

    splits: SplitIndex | None
    """Split by pixels; None: it is not known which images the run has seen."""
    pack: str
    """The fingerprint of its pack."""
    facts: Mapping[str, Any]
    """The table of data.json; empty where it is gone."""

    def made_from(self, source: Source) -> bool:
        """Tell whether these are exactly the files that the run's pack was made from."""
        try:
            settings = build(DataConfig, current_names(self.facts["settings"]), where="data.json")
        except (KeyError, TypeError, TutelageError):
            return False
        return source.fingerprint(settings) == self.facts.get("source_fingerprint")


NOTHING_KNOWN = RunImages(None, "", {})


def run_images(folder: Path) -> RunImages:
    """Read what a network's run did with each of its images.

    Args:
        folder: a run folder, or a model folder in one; elsewhere nothing is known.
    """
    folder = folder.absolute()
    run = next((one for one in (folder, *folder.parents[:3]) if (one / "run.json").is_file()), None)
    if run is None:
        return NOTHING_KNOWN
    table = parse_json(read_file(run / "run.json", largest=LARGEST_JSON), run / "run.json")
    pack = str(table.get("pack"))
    for job in (run, run.parent):
        try:
            facts = read_sealed(job / "data.json", kind="a job")
        except InputError:
            continue
        if facts.get("fingerprint") == pack:
            index = read_split(job / "split.csv")
            if index is None and (job / "pack" / "manifest.json").is_file():
                index = index_of_pack(open_pack(job / "pack"))
            return RunImages(index, pack, facts)
    return RunImages(None, pack, {})
