"""The functions behind `tutelage pack` and `tutelage check`."""

from pathlib import Path

from tutelage.commands.prepare_data import packed
from tutelage.config.data import Data
from tutelage.config.schema import check
from tutelage.data.inspect import CheckReport, check_source
from tutelage.data.pack.pack import Pack
from tutelage.data.readers.open import open_source
from tutelage.engine.runtime.console import Screen
from tutelage.engine.runtime.signals import stop_requests
from tutelage.errors import Interrupted, UsageError


def pack(
    data: str | Path, settings: Data | None = None, *, out: str | Path, quiet: bool = False
) -> Pack:
    """Decode every picture once into a folder that later commands take as their data."""
    settings, out = settings or Data(), Path(out)
    check(settings)
    if out.exists() and not (out / "manifest.json").is_file() and any(out.iterdir()):
        raise UsageError("the folder is not empty", where=out, fix=f"--out {out}-2")
    screen = Screen(quiet=quiet)
    with stop_requests() as stop:
        try:
            return packed(data, settings, out, screen=screen, stop=stop)
        except Interrupted as error:
            error.exit_code = stop.exit_code
            raise
        finally:
            screen.clear()


def examine(data: str | Path, settings: Data | None = None) -> CheckReport:
    """What is in the data and what is wrong with it; nothing is written."""
    settings = settings or Data()
    check(settings)
    return check_source(open_source(str(data), settings), settings)
