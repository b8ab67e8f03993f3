"""What the rehearsal of a cluster finds must count, and where it cannot run it must say so: both without a network."""

import os
from collections import Counter
from typing import Any

import pytest

from tests.cluster import network, sizes
from tests.cluster.crowd import Counts, Crowds


def found(*, back_in_s: float = 20.0, **answers: int) -> dict[str, Any]:
    return {"herd": {"back_in_s": back_in_s, "answers": {name.strip("_"): count for name, count in answers.items()}}}


def test_a_herd_that_is_back_in_time_is_no_fault() -> None:
    assert sizes.faults(found(_101=20_000, cut=900)) == []


def test_a_herd_that_takes_longer_or_meets_a_5xx_is_one() -> None:
    assert len(sizes.faults(found(back_in_s=61))) == 1
    assert "503" in sizes.faults(found(_101=20_000, _503=1))[0]


def test_the_counts_of_several_processes_are_added() -> None:
    class Pipe:
        def __init__(self, counts: Counts) -> None:
            self.counts = counts

        def send(self, _: str) -> None:
            pass

        def recv(self) -> Counts:
            return self.counts

    crowds = Crowds(("127.0.0.1", 1), [], 0)
    crowds.pipes = [
        Pipe(Counts(2, 2, 10, 5.0, Counter({"101": 2}))),
        Pipe(Counts(1, 0, 5, 7.0, Counter({"101": 1, "503": 4}))),
    ]
    assert crowds.counts() == Counts(3, 2, 15, 7.0, Counter({"101": 3, "503": 4}))


def test_without_root_the_network_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(network.NotHere, match="root"):
        network.inside(["true"])
