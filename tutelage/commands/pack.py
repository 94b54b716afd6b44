"""The functions behind `tutelage pack` and `tutelage check`."""

from pathlib import Path

from tutelage.commands.prepare_data import open_or_pack
from tutelage.config.data import DataConfig
from tutelage.config.schema import validate
from tutelage.data.inspect import CheckReport, check_source
from tutelage.data.pack.pack import Pack
from tutelage.data.readers.open import open_source
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.signals import stop_requests
from tutelage.errors import Interrupted, UsageError


def pack(
    data: str | Path, settings: DataConfig | None = None, *, out: str | Path, quiet: bool = False
) -> Pack:
    """Decode every image once into a folder that later commands take as their data."""
    settings, out = settings or DataConfig(), Path(out)
    validate(settings)
    if out.exists() and not (out / "manifest.json").is_file() and any(out.iterdir()):
        raise UsageError("the folder is not empty", where=out, fix=f"--out {out}-2")
    console = Console(quiet=quiet)
    with stop_requests() as stop:
        try:
            return open_or_pack(data, settings, out, console=console, stop=stop)
        except Interrupted as error:
            error.exit_code = stop.exit_code
            raise
        finally:
            console.clear()


def check(data: str | Path, settings: DataConfig | None = None) -> CheckReport:
    """Report what is in the data and what is wrong with it; nothing is written."""
    settings = settings or DataConfig()
    validate(settings)
    return check_source(open_source(str(data), settings), settings)
