"""Which images a source finds, and which layouts it refuses."""

import os
import socket
from pathlib import Path

import pytest

from support.images.plant import Plant
from tutelage.config.data import DataConfig
from tutelage.data.readers.open import open_source
from tutelage.data.readers.source import Source
from tutelage.errors import InputError

DATA = DataConfig()


def names(source: Source) -> list[str]:
    return [item.name for item in source.items]


def refusal(data: Path | str) -> str:
    with pytest.raises(InputError) as error:
        open_source(data, DATA)
    return str(error.value)


def test_given_splits_are_kept_and_items_are_ordered_by_name(plant: Plant) -> None:
    """train/ and val/ keep their images, and items come in the order of their names."""
    source = open_source(plant(), DATA)
    assert source.classes == ("bag", "coat")
    assert names(source) == sorted(names(source))
    assert {(item.name.split("/")[0], item.split) for item in source.items} == {
        ("train", "train"),
        ("val", "val"),
    }


def test_class_folders_alone_leave_the_split_open(plant: Plant) -> None:
    """Without train/ and val/ no image has a split, and deeper folders belong to their class."""
    source = open_source(plant("bag/1.png", "bag/old/2.PNG", "coat/3.jpeg"), DATA)
    assert [(item.label, item.split) for item in source.items] == [
        ("bag", None),
        ("bag", None),
        ("coat", None),
    ]


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("training", "valid", "Test"), ("Train", "validation", "TEST")],
)
def test_other_words_for_the_splits_are_known(
    plant: Plant, train: str, val: str, test: str
) -> None:
    """Each usual spelling of a split folder is taken for that split."""
    root = plant(*(f"{split}/{name}/1.png" for split in (train, val, test) for name in "ab"))
    assert {item.split for item in open_source(root, DATA).items} == {"train", "val", "test"}


def test_a_flat_test_folder_is_unlabelled(plant: Plant) -> None:
    """Images directly in test/ have no label."""
    root = plant("train/a/1.png", "train/b/2.png", "val/a/3.png", "test/4.png")
    assert [item.label for item in open_source(root, DATA).items if item.split == "test"] == [None]


def test_hidden_and_system_files_are_counted_not_read(plant: Plant) -> None:
    """Hidden names, system files and other endings are passed over, and counted by reason."""
    root = plant("a/1.png", "b/2.png", "a/.b.png", "a/._1.png", "a/Thumbs.db", ".git/x/1.png")
    (root / "a" / "README").write_text("no image")
    (root / "labels.json").write_text("{}")
    source = open_source(root, DATA)
    assert names(source) == ["a/1.png", "b/2.png"]
    assert source.ignored == {
        ".json file": 1,
        "file without an ending": 1,
        "hidden": 3,
        "system file": 1,
    }


def test_images_of_other_kinds_are_not_passed_over_in_silence(plant: Plant) -> None:
    """A HEIC file is taken up, so that it ends in the list of files set aside."""
    assert "a/1.heic" in names(open_source(plant("a/1.heic", "a/2.png", "b/3.png"), DATA))


def test_a_named_pipe_is_never_opened(plant: Plant) -> None:
    """A pipe or socket named like an image is set aside by its type; opening one would hang."""
    root = plant("a/1.png", "b/2.png")
    os.mkfifo(root / "a" / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as one:
        before = Path.cwd()
        os.chdir(root)
        one.bind("a/socket.png")
        os.chdir(before)
    reasons = dict(open_source(root, DATA).refused)
    assert reasons == {
        "a/pipe.jpg": "a named pipe, not a file",
        "a/socket.png": "a socket, not a file",
    }


def test_link_loops_never_multiply_images(plant: Plant) -> None:
    """Folders linked in a circle and links to listed files leave each real file once."""
    root = plant("a/1.png", "b/2.png")
    (root / "a" / "loop").symlink_to(root, target_is_directory=True)
    (root / "b" / "loop").symlink_to(root / "a", target_is_directory=True)
    (root / "b" / "again.png").symlink_to(root / "b" / "2.png")
    assert names(open_source(root, DATA)) == ["a/1.png", "b/2.png"]


def test_a_link_to_a_file_not_listed_otherwise_counts(plant: Plant) -> None:
    """Links into a hidden store inside the folder are followed, once for each file."""
    root = plant(".store/1.png", "a/2.png", "b/3.png")
    (root / "a" / "1.png").symlink_to(root / ".store" / "1.png")
    (root / "a" / "x.png").symlink_to(root / ".store" / "1.png")
    assert names(open_source(root, DATA)) == ["a/1.png", "a/2.png", "b/3.png"]


def test_links_out_of_the_folder_and_broken_links_are_set_aside(plant: Plant) -> None:
    """A link that leaves the folder, to a file or a folder, is refused with the reason."""
    root = plant("a/1.png", "b/2.png")
    (root / "a" / "out.png").symlink_to(__file__)
    (root / "a" / "out").symlink_to(Path(__file__).parent, target_is_directory=True)
    (root / "a" / "no.png").symlink_to("nowhere")
    assert dict(open_source(root, DATA).refused) == {
        "a/out.png": "a link out of the folder",
        "a/out": "a link out of the folder",
        "a/no.png": "a broken link",
    }


def test_the_folder_itself_may_be_a_link(plant: Plant, tmp_path: Path) -> None:
    """A link given as DATA is followed; only links inside are held to the folder."""
    (tmp_path / "link").symlink_to(plant(), target_is_directory=True)
    assert len(open_source(tmp_path / "link", DATA).items) == 10


def test_a_name_that_is_no_text_is_read_and_shown_escaped(plant: Plant) -> None:
    """A file and a class whose names are not UTF-8 are used; the class name is escaped."""
    root = plant("a/1.png", "caf\udce9/\udcff.png")
    source = open_source(root, DATA)
    assert source.classes == ("a", r"caf\xe9")
    assert all(item.read() for item in source.items)


def test_one_class_name_in_two_unicode_forms_is_one_class(plant: Plant) -> None:
    """train/ in composed and val/ in decomposed form are the same class."""
    root = plant("train/caf\u00e9/1.png", "train/b/2.png", "val/cafe\u0301/3.png")
    assert open_source(root, DATA).classes == ("b", "caf\u00e9")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (["notes.txt"], "there are no images"),
        (["1.png", "2.png"], "in no class folders"),
        (["train/1.png", "val/2.png"], "train/ holds no images in class folders"),
        (["train/a/1.png", "train/b/1.png", "val/1.txt"], "val/ holds no images"),
        (["a/1.png"], "two classes or more"),
        (["a/1.png", "b/notes.txt"], "holds no images"),
        (["train/a/1.png", "train/b/2.txt", "val/a/1.png"], "holds no images"),
        (["train/a/1.png", "train/b/1.png", "val/c/2.png"], "found:    c"),
        (["train/a/1.png", "train/b/1.png", "test/c/2.png"], "test has a class that train lacks"),
        (["Cat/1.png", "cat/2.png"], "'Cat' and 'cat'"),
        (["STRASSE/1.png", "stra\u00dfe/2.png"], "the same but for case"),
        (["val/a/1.png", "test/a/1.png"], "there is no train folder"),
        (["train/a/1.png", "training/b/1.png", "val/a/1.png"], "two folders stand for train"),
        (["train/a/1.png", "train/b/1.png", "more/b/1.png"], "a folder that is not a split"),
    ],
)
def test_a_layout_that_cannot_be_used_is_refused(plant: Plant, files: list[str], says: str) -> None:
    """Each bad layout stops before anything is decoded, and the message says what is wrong."""
    assert says in refusal(plant(*files))


def test_a_folder_around_the_classes_is_passed_through(plant: Plant) -> None:
    """When the class folders are one level down, they are found there, and that is said."""
    source = open_source(plant("set/a/1.png", "set/b/1.png"), DATA)
    assert source.classes == ("a", "b")
    assert source.description["reading"].endswith("inside set/")


def test_a_class_that_only_val_lacks_is_fine(plant: Plant) -> None:
    """A class without validation images keeps its place by name."""
    root = plant("train/a/1.png", "train/b/1.png", "train/c/1.png", "val/c/2.png", "val/a/3.png")
    assert open_source(root, DATA).classes == ("a", "b", "c")


def test_nothing_there_suggests_the_nearest_name(plant: Plant) -> None:
    """A misspelt data set or path is answered with the nearest known one."""
    assert "did you mean cifar10?" in refusal("cifr10")
    assert "did you mean" in refusal(f"{plant()}s")
    assert "data" in refusal(f"{plant()}s")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_listed_stops(plant: Plant) -> None:
    """A class folder without permission is an error, not an empty class."""
    root = plant("a/1.png", "b/1.png")
    (root / "a").chmod(0)
    assert "cannot list a folder" in refusal(root)
    (root / "a").chmod(0o700)


def test_the_fingerprint_sees_every_change_of_the_files(plant: Plant) -> None:
    """A rewritten, renamed or added file changes the source's fingerprint; nothing else does."""
    root = plant()
    first = open_source(root, DATA).fingerprint(DATA)
    assert open_source(root, DATA).fingerprint(DATA) == first
    assert open_source(root, DATA).fingerprint(DataConfig(image_size=32)) != first
    path = root / "train" / "bag" / "0.png"
    os.utime(path, ns=(1, 1))
    second = open_source(root, DATA).fingerprint(DATA)
    path.rename(root / "train" / "coat" / "moved.png")
    third = open_source(root, DATA).fingerprint(DATA)
    assert len({first, second, third}) == 3
