"""`tutelage cache list | verify | remove` on real caches."""

from pathlib import Path

import pytest

from tutelage.__main__ import main


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command in this process: exit code, output, errors."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["tutelage", *map(str, words)])
        code = main()
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def shelf(single, place, small_pack, teacher_folder: Path, tmp_path: Path) -> Path:
    """A folder with the cache of one teacher about 200 images."""
    from tutelage.engine.run import train_one

    train_one(single(teacher=(str(teacher_folder),), epochs=1), small_pack, place("taught"))
    return tmp_path / "cache"


def test_list_verify_remove(command, shelf: Path) -> None:
    (name,) = [path.parent.name for path in shelf.glob("*/manifest.json")]
    code, out, _ = command("cache", "list", "--folder", shelf)
    assert code == 0
    line, total = out.splitlines()
    assert line.startswith(f"{name}  test_resnet, 10 classes: ")
    assert "x 1 view," in line
    assert "float32" in line
    assert total.startswith("1 cache")
    code, out, _ = command("cache", "verify", "--folder", shelf)
    assert code == 0
    assert f"{name}: " in out
    code, out, _ = command("cache", "remove", name, "--folder", shelf)
    assert code == 0
    assert "1 cache removed" in out
    assert not (shelf / name).exists()
    assert command("cache", "list", "--folder", shelf)[0] == 0


def test_damage_is_found_and_named(command, shelf: Path) -> None:
    (table,) = shelf.glob("*/logits.bin")
    with table.open("r+b") as file:
        file.seek(100)
        file.write(b"\x7f\x7f\x7f")
    code, out, err = command("cache", "verify", "--folder", shelf)
    assert code == 3
    assert not out
    assert f"{table.parent.name}: 1" in err
    assert "damaged answers" in err
    assert f"tutelage cache remove {table.parent.name} --folder {shelf}" in err


def test_a_cache_that_is_cut_short_can_be_removed(command, shelf: Path) -> None:
    (table,) = shelf.glob("*/logits.bin")
    table.write_bytes(table.read_bytes()[:-100])
    name = table.parent.name
    code, out, _ = command("cache", "list", "--folder", shelf)
    assert code == 0
    assert f"{name}  the teacher's cache is cut short" in out
    code, _, err = command("cache", "verify", "--folder", shelf)
    assert code == 3
    assert f"{name}: the teacher's cache is cut short" in err
    assert command("cache", "remove", name, "--folder", shelf)[0] == 0
    assert not table.parent.exists()


def test_remove_wants_to_know_which(command, shelf: Path) -> None:
    code, _, err = command("cache", "remove", "--folder", shelf)
    assert code == 2
    assert "--all" in err
    code, _, err = command("cache", "remove", "other", "--folder", shelf)
    assert code == 2
    assert "no cache named other" in err
    assert command("cache", "remove", "x", "--all", "--folder", shelf)[0] == 2
    assert list(shelf.glob("*/manifest.json"))
    assert command("cache", "remove", "--all", "--folder", shelf)[0] == 0
    assert not list(shelf.glob("*/manifest.json"))


def test_no_folder_of_caches(command, tmp_path: Path) -> None:
    for verb in ("list", "verify"):
        code, _, err = command("cache", verb, "--folder", tmp_path / "nowhere")
        assert code == 2
        assert "nowhere" in err
