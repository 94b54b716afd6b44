"""The rows of several tables as one: each image once, with lists of images as the splits of the others."""

from collections.abc import Sequence

from tutelage.data.readers.listing import Listing
from tutelage.data.readers.tables.rows import PlacedRow

NO_LABEL = "image of a list without a label"
NO_LIST = "image in no list of a split"


def merge_rows(tables: Sequence[Sequence[PlacedRow]], listing: Listing) -> list[PlacedRow]:
    """Put the rows of several tables together.

    A table without labels that lists images of another, such as `test_list.txt`, says their split. Images in
    no such list are train, unless there is a list of train: then they are left out and counted.

    Args:
        tables: the rows of each table; all of one have labels, or none has a column of them.
        listing: where images that are left out are counted.

    Raises:
        InputError: two tables have labels for one image.
    """
    rows: dict[str, PlacedRow] = {}
    listed = set[str]()
    for table in tables:
        is_list = any(not row.labelled and row.found.name in rows for row in table)
        for row in table:
            name, before = row.found.name, rows.get(row.found.name)
            if is_list and before is None:
                listing.ignored[NO_LABEL] += 1
            elif before is None:
                rows[name] = row
            elif is_list:
                rows[name] = before._replace(split=row.split)
                listed.add(str(row.split))
            else:
                row.table.refuse(
                    row.line,
                    f"an image listed before, in {before.table.where.name}, "
                    f"{before.table.unit} {before.line}",
                    row.path,
                    "one table for each image",
                )
    if not listed:
        return list(rows.values())
    kept = []
    for row in rows.values():
        if row.split is None and "train" in listed:
            listing.ignored[NO_LIST] += 1
        else:
            kept.append(row._replace(split=row.split or "train"))
    return kept
