"""The number of threads follows what updates take, on a clock that the test moves."""

from collections.abc import Iterator

import pytest
import torch

from sim_training.training.thread_choice import FIRST_TRIAL, TRIAL_PERIOD_S, ThreadChoice


@pytest.fixture(autouse=True)
def restored_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Machine:
    """Takes, for an update, as long as it is told for that number of threads."""

    def __init__(self, num_cores: int = 2) -> None:
        self.update_s = {1: 0.008, 2: 0.005, 4: 0.004}
        self.spent_s = {1: 0.0, 2: 0.0, 4: 0.0}
        self.now_s = 0.0
        self.choice = ThreadChoice("auto", num_cores, lambda: self.now_s)

    def update(self, count: int) -> None:
        for _ in range(count):
            with self.choice.timed():
                threads = torch.get_num_threads()
                self.now_s += self.update_s[threads]
                self.spent_s[threads] += self.update_s[threads]


def test_begins_with_one_thread_and_finds_that_two_are_faster() -> None:
    machine = Machine()

    machine.update(FIRST_TRIAL)
    before = machine.choice.threads
    machine.update(100)

    assert (before, machine.choice.threads) == (1, 2)


@pytest.mark.parametrize(("num_cores", "best"), [(1, 1), (2, 2), (3, 2), (8, 4)])
def test_uses_no_more_threads_than_there_are_cores(num_cores: int, best: int) -> None:
    machine = Machine(num_cores)

    machine.update(FIRST_TRIAL + 200)

    assert machine.choice.threads == best


def test_stays_with_one_thread_where_two_are_not_faster() -> None:
    machine = Machine()
    machine.update_s[2] = 0.3

    machine.update(FIRST_TRIAL + 60_000)

    assert machine.choice.threads == 1
    # Trying what has collapsed, again and again, costs next to nothing.
    assert machine.spent_s[2] < 0.05 * machine.spent_s[1]


def test_gives_threads_up_soon_after_a_neighbour_appears() -> None:
    machine = Machine()
    machine.update(FIRST_TRIAL + 200)

    machine.update_s[2] = 0.15
    machine.update(25)

    assert machine.choice.threads == 1


def test_takes_threads_up_again_when_the_neighbour_has_gone() -> None:
    machine = Machine()
    machine.update_s[2] = 0.15
    machine.update(FIRST_TRIAL + 200)
    assert machine.choice.threads == 1

    machine.update_s[2] = 0.005
    machine.update(round(TRIAL_PERIOD_S / 0.008) + 100)

    assert machine.choice.threads == 2


def test_one_slow_update_changes_nothing() -> None:
    machine = Machine()
    machine.update(FIRST_TRIAL + 200)

    machine.update_s[2] = 0.05
    machine.update(1)
    machine.update_s[2] = 0.005
    machine.update(100)

    assert machine.choice.threads == 2


def test_a_given_number_is_kept() -> None:
    choice = ThreadChoice(2, num_cores=8)

    assert choice.threads == torch.get_num_threads() == 2
