"""Every parser of our own."""

from pathlib import Path

from parsers_files import of_idx, of_recipes, of_sealed, of_tables, of_tar, of_weights, of_zip
from parsers_folders import of_cache, of_checkpoint, of_pack
from parsing import Parser


def parsers(folder: Path) -> list[Parser]:
    """All of them, with their files in a folder in memory."""
    made = [of_pack(folder), of_cache(folder), of_sealed(folder), of_recipes(), of_tables()]
    return [
        *made,
        of_idx(),
        of_zip(folder),
        of_tar(folder),
        of_checkpoint(folder),
        of_weights(folder),
    ]
