"""Interleaving is fair: every way in every round, none always after the same other."""

from tutelage.evaluation.timing import time_interleaved


def test_every_way_is_timed_in_every_round_and_the_order_turns() -> None:
    done: list[str] = []
    settled: list[int] = []
    ways = {name: (lambda name=name: done.append(name)) for name in "abc"}
    seconds = time_interleaved(ways, rounds=3, warm_up=1, settle=lambda: settled.append(len(done)))
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3, "c": 3}
    orders = ["".join(done[low : low + 3]) for low in range(0, 12, 3)]
    assert orders[1:] == ["abc", "bca", "cab"]
    assert settled == list(range(1, 13)), "work in flight is waited for within each window"
