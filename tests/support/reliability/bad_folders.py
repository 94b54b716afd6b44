"""Cases 61 to 90: layouts, names, labels and sizes of a data folder."""

import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from support.images import odd_modes
from support.reliability.bad_case import Case, Seen, data_case
from support.reliability.bad_entries import MANY

ANY_IMAGES = {"predict": "H", "export": ("E", "--data sample")}
"""Cells of what no verb can read but one that takes any images."""
_SHADES = iter(range(10**6))


def one_image(path: Path) -> None:
    """A small image that is like no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = odd_modes.colours()
    shade = next(_SHADES)
    pixels[:3, :3] = [(shade >> 16) & 255, (shade >> 8) & 255, shade & 255]
    pixels[8:, :] //= 1 + shade % 5
    Image.fromarray(pixels).save(path)


def klass(folder: Path, name: str, train: int = 3, val: int = 1) -> None:
    """A class of its own."""
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            one_image(folder / split / name / f"{number}.png")


def _loop(folder: Path) -> None:
    (folder / "train" / "Bag" / "loop").symlink_to(folder, target_is_directory=True)


def _copy(source: str, target: str) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / source, folder / target)

    return plant


def _other_encoding(folder: Path) -> None:
    with Image.open(folder / "train" / "Bag" / "1.png") as image:
        image.save(folder / "val" / "Bag" / "c86.bmp")


def _made(name: str, train: int = 3, val: int = 1) -> Callable[[Path], None]:
    return lambda folder: klass(folder, name, train, val)


def _two_forms(folder: Path) -> None:
    for split, form in (("train", "NFC"), ("val", "NFD")):
        for number in range(2):
            one_image(folder / split / unicodedata.normalize(form, "Café") / f"{number}.png")


def _hidden(folder: Path) -> None:
    one_image(folder / "train" / ".ipynb_checkpoints" / "1.png")
    one_image(folder / "train" / ".git" / "1.png")


def _no_text(folder: Path) -> None:
    one_image(folder / "val" / "Bag" / os.fsdecode(b"c79-\xe9.png"))


def _too_deep(folder: Path) -> None:
    before = Path.cwd()
    os.chdir(folder / "val" / "Bag")
    for _ in range(20):
        Path("d" * 250).mkdir()
        os.chdir("d" * 250)
    one_image(Path("deep.png"))
    os.chdir(before)


def _many(folder: Path) -> None:
    """The good images of a class under many more names."""
    bags = folder / "train" / "Bag"
    whole = sorted(bags.glob("?.png"))
    for number in range(MANY):
        os.link(whole[number % len(whole)], bags / f"many-{number}.png")


def _mine(*files: str) -> Callable[[Path], Path]:
    """Another folder beside the good data, of these files; a name that ends in / is an empty folder."""

    def plant(folder: Path) -> Path:
        root = folder / "mine"
        root.mkdir()
        for name in files:
            if name.endswith("/"):
                (root / name).mkdir(parents=True)
            else:
                one_image(root / name)
        return root

    return plant


def _plain_file(folder: Path) -> Path:
    (folder / "file").write_text("no data")
    return folder / "file"


def _formulas(folder: Path) -> None:
    klass(folder, "=1+1")
    one_image(folder / "val" / "=1+1" / "@SUM(1).png")


def _empty_class(folder: Path) -> None:
    (folder / "train" / "Empty").mkdir()


def _only_val(folder: Path) -> None:
    one_image(folder / "val" / "Stranger" / "1.png")


def _more_val(folder: Path) -> None:
    for number in range(24):
        one_image(folder / "val" / "Coat" / f"more-{number}.png")


def _no_val(folder: Path) -> None:
    shutil.rmtree(folder / "val")
    (folder / "val" / "Bag").mkdir(parents=True)
    (folder / "val" / "Coat").mkdir(parents=True)


ROWS = "".join(
    f"{split}/{name}/{number}.png,{name},{split}\n"
    for split, count in (("train", 12), ("val", 5))
    for name in ("Bag", "Coat")
    for number in range(count)
)
NEXT = f"line {ROWS.count(chr(10)) + 2}"


def _table(content: str) -> Callable[[Path], Path]:
    def plant(folder: Path) -> Path:
        path = folder / "labels.csv"
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
        return path

    return plant


def table(
    letter: str, name: str, content: str, says: str, kind: str = "E", seen: tuple[Seen, ...] = ()
) -> Case:
    """A case of a label file; `predict` takes it for an image, which it is not."""
    head = "" if content.startswith("\ufeff") else "path,label,split\n"
    return data_case(
        f"83 {letter}",
        name,
        kind,
        _table(head + content),
        says=says,
        seen=seen,
        cells={"predict": ("E", "labels.csv")},
        alone=True,
    )


STRANGE = {"evaluate": "E", "distill": "E"}
"""A class that the network has not learned is refused where it is measured, and where it teaches."""

FOLDERS: tuple[Case, ...] = (
    data_case("61", "link that leads in circles", "H", _loop, says="",
              seen=(Seen("", "P", "link to something already listed"),)),
    data_case("62", "hidden class folders", "H", _hidden, seen=(Seen("", "P", "hidden"),)),
    data_case("63", "class folder without images", "E", _empty_class, says="Empty",
              cells={"predict": "H"}),
    data_case("64", "class of one image", "H", _made("Single", 1, 0),
              seen=(Seen("train/Single/0.png", "H", "Single: 1"),), cells=STRANGE),
    data_case("65", "one class only", "E", _mine("Bag/1.png", "Bag/2.png"), says="two classes",
              cells={"predict": "H"}),
    data_case("66", "no class folders", "E", _mine("1.png", "2.png"), says="expected:",
              cells={"predict": "H"}),
    data_case("67 a", "data that is a file", "E", _plain_file, says="file"),
    data_case("67 b", "data that is not there", "E", lambda folder: folder / "nowhere",
              says="nowhere"),
    data_case("67 c", "empty folder", "E", _mine(), says="mine"),
    data_case("68", "folders below a class", "H",
              lambda folder: one_image(folder / "val" / "Bag" / "old" / "er" / "c68.png"),
              seen=(Seen("val/Bag/old/er/c68.png", "H"),)),
    data_case("69 a", "folder around the classes", "H",
              _mine(*(f"top/{name}/{n}.png" for name in ("Bag", "Coat") for n in range(12))),
              seen=(Seen("top/Bag/0.png", "H"),), alone=True),
    data_case("69 b", "folders that are classes or splits", "E",
              _mine(*(f"{top}/{name}/1.png" for top in ("train", "more") for name in ("Bag", "Coat"))),
              says="--data.layout", cells=ANY_IMAGES),
    data_case("69 c", "the same folders in every folder", "E",
              _mine(*(f"{top}/{name}/1.png" for top in ("Art", "Photo") for name in ("Bag", "Coat"))),
              says="--data.layout", cells=ANY_IMAGES),
    data_case("69 d", "labels in the names of the files", "E",
              _mine(*(f"{name}_{n}.png" for name in ("Bag", "Coat") for n in range(6))),
              says="--data.label-from name", cells=ANY_IMAGES),
    data_case("70", "class that train lacks", "E", _only_val, says="Stranger",
              cells={"predict": "H"}),
    data_case("71", "class that val lacks", "H", _made("Untested", 3, 0),
              seen=(Seen("train/Untested/0.png", "H"),), cells=STRANGE),
    data_case("72 a", "classes alike but for case", "E",
              lambda folder: one_image(folder / "train" / "BAG" / "1.png"), says="'BAG' and 'Bag'",
              cells={"predict": "H"}),
    data_case("72 b", "classes alike but for a space", "E",
              lambda folder: one_image(folder / "train" / "Bag " / "1.png"), says="'Bag' and 'Bag '",
              cells={"predict": "H"}),
    data_case("73", "one name in two Unicode forms", "H", _two_forms,
              seen=(Seen("train/Café/0.png", "H"),), cells=STRANGE),
    data_case("74 a", "class of spaces and emoji", "H", _made(" two words 😀 "), cells=STRANGE,
              seen=(Seen("train/ two words 😀 /0.png", "H"),)),
    data_case("74 b", "class written from right to left", "H", _made("שלום"), cells=STRANGE,
              seen=(Seen("train/שלום/0.png", "H"),)),
    data_case("74 c", "class of 255 bytes", "H", _made("x" * 255), cells=STRANGE,
              seen=(Seen(f"train/{'x' * 255}/0.png", "H"),)),
    data_case("74 d", "class with a line end", "H", _made("new\nline"), cells=STRANGE,
              seen=(Seen(r"train/new\x0aline/0.png", "H"),)),
    data_case("75", "class that is a script", "H", _made("<script>alert(1)<script>"), cells=STRANGE,
              seen=(Seen("train/<script>alert(1)<script>/0.png", "H"),)),
    data_case("76", "class and file that are formulas", "H",
              _formulas,
              cells=STRANGE, seen=(Seen("val/=1+1/@SUM(1).png", "H"),)),
    data_case("77", "class of commas, quotes and braces", "H", _made('a,b "c" {d}'), cells=STRANGE,
              seen=(Seen('train/a,b "c" {d}/0.png', "H"),)),
    data_case("78", "class `..` in a label file", "E", _table("path,label,split\n" + ROWS
              + "val/Coat/5.png,..,val\n"), says=NEXT, cells={"predict": ("E", "labels.csv")}),
    data_case("79", "file name that is no text", "H", _no_text, seen=(Seen(r"val/Bag/c79-\xe9.png", "H"),)),
    data_case("80 a", "file name of 255 bytes", "H",
              lambda folder: one_image(folder / "val" / "Bag" / ("n" * 251 + ".png")),
              seen=(Seen("val/Bag/" + "n" * 251 + ".png", "H"),)),
    data_case("80 b", "path longer than the system takes", "Q", _too_deep,
              seen=(Seen("val/Bag/" + "d" * 250, "Q", "file name too long"),)),
    data_case("81", "very many files in a folder", "H", _many,
              seen=(Seen(f"train/Bag/many-{MANY - 1}.png", "H"),)),
    data_case("82", "classes that are numbers", "H",
              lambda folder: [klass(folder, name) for name in ("1", "2", "10")] and None,
              seen=(Seen("train/10/0.png", "H"),), cells=STRANGE),
    table("a", "label file: class that train lacks", ROWS + "val/Coat/5.png,Stranger,val\n", "Stranger"),
    table("b", "label file: no such image", ROWS + "val/Coat/none.png,Coat,val\n", "", "Q",
          (Seen("val/Coat/none.png", "Q", "there is no such file"),)),
    table("c", "label file: a row twice", ROWS + "val/Bag/1.png,Bag,val\n", NEXT),
    table("d", "label file: rows that disagree", ROWS + "val/Bag/1.png,Coat,val\n", NEXT),
    table("e", "label file: byte-order mark", "\ufeffpath,label,split\n" + ROWS, "", "H"),
    table("f", "label file: other line ends", ROWS.replace("\n", "\r\n"), "", "H"),
    table("g", "label file: not UTF-8", ROWS + "val/Coat/\udce9.png,Coat,val\n", "", "Q",
          (Seen("val/Coat/é.png", "Q", "there is no such file"),)),
    table("j", "label file: most images are missing", ROWS.replace("train/", "none/"), "labels.csv"),
    table("k", "label file: bytes that are no text", ROWS + "val/Coat/\udc81.png,Coat,val\n", NEXT),
    data_case("85", "image in train and in val", "H", _copy("train/Bag/0.png", "val/Bag/c85.png"),
              seen=(Seen("val/Bag/c85.png", "H", "in val or test, and in train too"),)),
    data_case("86", "the same pixels in another encoding", "H", _other_encoding,
              seen=(Seen("val/Bag/c86.bmp", "H", "in val or test, and in train too"),)),
    data_case("87", "image under two labels", "H", _copy("train/Bag/2.png", "train/Coat/c87.png"),
              seen=(Seen("train/Coat/c87.png", "H", "the same pixels under another label"),)),
    data_case("88 a", "more images in val than in train", "H", _more_val,
              seen=(Seen("val/Coat/more-0.png", "H"),)),
    data_case("88 b", "no images in val", "E", _no_val, says="val", cells={"predict": "H"}),
)  # fmt: skip
