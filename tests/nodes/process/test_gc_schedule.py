"""Python's collector works when it is asked to, and only as much as is due."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from sac_ros.nodes.process.gc_schedule import GcSchedule


class Cycle:
    """Garbage that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def collection() -> Iterator[GcSchedule]:
    collection = GcSchedule()
    collection.start()
    yield collection
    collection.stop()
    gc.unfreeze()


def make_garbage(num: int) -> list[weakref.ref[Cycle]]:
    return [weakref.ref(Cycle()) for _ in range(num)]


def make_old_garbage() -> weakref.ref[Cycle]:
    cycle = Cycle()
    gc.collect(0)
    gc.collect(1)  # alive, and so moved to the oldest generation
    return weakref.ref(cycle)


def num_alive(garbage: list[weakref.ref[Cycle]]) -> int:
    return sum(ref() is not None for ref in garbage)


def test_nothing_is_collected_until_it_is_asked_for(collection: GcSchedule) -> None:
    garbage = make_garbage(10 * gc.get_threshold()[0])
    assert num_alive(garbage) == len(garbage)
    collection.collect_if_due()
    assert num_alive(garbage) == 0


def test_little_garbage_waits(collection: GcSchedule) -> None:
    garbage = make_garbage(gc.get_threshold()[0] // 10)
    collection.collect_if_due()
    assert num_alive(garbage) == len(garbage)


def test_garbage_that_has_become_old_is_found_in_the_end(
    collection: GcSchedule,
) -> None:
    old = make_old_garbage()
    young, middle, oldest = gc.get_threshold()
    for _ in range((middle + 2) * (oldest + 2)):
        make_garbage(2 * young)
        collection.collect_if_due()
    assert old() is None


def test_all_garbage_is_found_at_once_when_somebody_asks_for_it(
    collection: GcSchedule,
) -> None:
    old = make_old_garbage()
    collection.ask_for_all()
    assert old() is not None  # not in the thread that asks
    collection.collect_if_due()
    assert old() is None


def test_collector_runs_by_itself_again_after_the_last_tick() -> None:
    collection = GcSchedule()
    collection.start()
    assert not gc.isenabled()
    collection.stop()
    gc.unfreeze()
    assert gc.isenabled()
