"""136 kinds of bad input at every verb: no traceback, no waiting, one message with the file and the remedy.

Here each case is tried at some verbs, in turn; `benchmarks/reliability/bad_input.py` tries all.
"""

import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.reliability import bad_table
from support.reliability.bad_bench import Bench, together
from support.reliability.bad_case import KINDS, Case
from support.reliability.bad_cases import CASES, COUNT
from support.reliability.bad_entries import ENTRIES, TRAINING, call, words
from support.reliability.bad_verdict import in_pack, wrong


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """What the cases share, and a Ghostscript that leaves a mark where somebody starts it."""
    bench = Bench(tmp_path_factory.mktemp("bench"))
    bench.make()
    mark = bench.root / "gs" / "started"
    mark.parent.mkdir()
    program = mark.parent / "gs"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{mark.parent}:{os.environ['PATH']}")
        yield bench
    assert not mark.exists(), "an image has started a program"


def some(case: Case, turn: int) -> list[str]:
    """The verbs that a case is tried at here: the quick ones, one that trains, one that uses a network."""
    quick = case.quick()
    chosen = [entry for entry in quick if entry in ("check", "pack", "resume", "report", "cache")]
    for group in (TRAINING, ("evaluate", "predict", "export")):
        there = [entry for entry in group if entry in quick and (case.alone or case.role != "data")]
        chosen += [there[turn % len(there)]] if there else []
    return chosen


def tried() -> Iterator[Any]:
    """Yield cases and verbs: one verb of each case in the middle tier, all of them in the last."""
    for turn, case in enumerate(CASES):
        entries = some(case, turn)
        for number, entry in enumerate(entries):
            chosen = number == turn % len(entries)
            yield pytest.param(
                case,
                entry,
                id=f"{case.number.replace(' ', '')}-{entry}",
                marks=pytest.mark.medium if chosen else pytest.mark.full,
            )


@pytest.mark.parametrize(("case", "entry"), list(tried()))
def test_bad_input_is_told_or_handled(case: Case, entry: str, bench: Bench, tmp_path: Path) -> None:
    """A verb does with a case what the table says."""
    answer = bench.knock(case, entry, tmp_path)
    assert wrong(case, entry, answer, tmp_path) == [], answer.err


@pytest.mark.parametrize("entry", ["train", "predict", "evaluate"])
def test_all_that_can_be_used_is_used_together(entry: str, bench: Bench, tmp_path: Path) -> None:
    """Every odd image in one folder: training, measuring and predicting go on, and each file is told."""
    cases = [case for case in CASES if case.role == "data" and not case.alone]
    if entry == "evaluate":  # a network is not measured on classes it does not know
        cases = [case for case in cases if case.cell("evaluate") != "E"]
    places, around = together(bench, cases, tmp_path)
    with around:
        answer = call(words(entry, "data", places), tmp_path)
    assert answer.code == 0, answer.err
    for case in cases:
        for seen in case.seen:
            if entry == "train":
                assert in_pack(seen, tmp_path / "out" / "pack") == ""
            elif seen.kind == "Q":
                assert seen.file in answer.err
                assert seen.says in answer.err


def test_every_number_of_the_catalogue_is_there() -> None:
    """No case is missing, none is there twice, and no cell of the table is blank."""
    assert {case.at for case in CASES} == set(range(1, COUNT + 1))
    assert len({case.number for case in CASES}) == len(CASES)
    for case, entry in itertools.product(CASES, ENTRIES):
        assert case.cell(entry).strip()
        assert case.cell(entry) in KINDS or case.cell(entry).islower() or " " in case.cell(entry)


def test_the_page_is_that_of_the_cases() -> None:
    """docs/evidence/bad-input.md is what the cases say."""
    assert bad_table.PAGE.read_text(encoding="utf-8") == bad_table.page()


def test_every_entry_is_a_verb() -> None:
    """The columns are verbs of the command line, and none that reads or writes is left out."""
    from tutelage.cli.verbs import VERBS

    telling = {"compare", "recipes", "show", "settings", "losses", "methods", "models", "benchmark"}
    read_elsewhere = {"adopt"}  # weights as by `train --weights`, images as by `evaluate`
    assert {*VERBS} - telling - read_elsewhere - {"verify", "completion"} == set(ENTRIES)


def test_good_data_pass(bench: Bench, tmp_path: Path) -> None:
    """The good images of the bench are packed without a word, so that what is told is told of the case."""
    shutil.copytree(bench.good, tmp_path / "data")
    places = {"data": tmp_path / "data", "out": tmp_path / "out"}
    assert "nothing is wrong" in call(words("check", "data", places), tmp_path).out
