"""Which version, and which session, a transition says it is of; no middleware is needed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from linear_policy import linear_policy
from recording_link import PENDULUM, Rig

from sac_ros.nodes.exchange.policy_exchange import ExchangeSettings, PolicyExchange
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.policy.updates.policy_versions import Successor
from sac_ros.policy.updates.return_guard import GuardSettings
from sac_ros.task.transition import Transition

POLICY = OnnxPolicy.from_bytes(linear_policy(PENDULUM))


class Node:
    """Takes what an exchange asks of a node, and of the node's resources."""

    def __init__(self) -> None:
        self.closing: list[Callable[[], None]] = []

    def on_close(self, callback: Callable[[], None]) -> None:
        self.closing.append(callback)

    def __getattr__(self, name: str) -> object:
        return lambda *arguments, **options: SimpleNamespace(
            publish=lambda message: None, info=print, warning=print, error=print
        )


@contextmanager
def exchange(
    swap: str, max_episode_steps: int | None = None
) -> Iterator[tuple[PolicyExchange, Rig]]:
    """Give an exchange and a robot whose transitions pass through it; version V acts 0.1 V."""
    settings = ExchangeSettings(
        learner="learner",
        swap=swap,  # type: ignore[arg-type]
        max_action_change=1.0,
        key_file="",
        guard=GuardSettings(baseline_episodes=1),
    )
    node = Node()
    made = PolicyExchange(
        node,  # type: ignore[arg-type]
        node,  # type: ignore[arg-type]
        settings,
        PENDULUM,
        POLICY,
        lambda policy: lambda obs: np.zeros(1),
        lambda: None,
    )
    rig = Rig(PENDULUM, made.select_action, max_episode_steps=max_episode_steps)
    sent = rig.link.transitions

    def send(transition: Transition) -> None:
        labelled = made.label(transition)
        sent.append(labelled)
        made.note(labelled)

    rig.link.publish_transition = send  # type: ignore[method-assign]
    made.succession.end_episode(1.0)
    yield made, rig
    for close in node.closing:
        close()


def offer(made: PolicyExchange, version: int) -> None:
    made.succession.offer(
        Successor(
            version=version, policy=POLICY, select_action=lambda obs: np.array([0.1 * version])
        )
    )


@pytest.mark.parametrize("ticks_between", [2, 3, 5])
def test_each_transition_of_a_run_without_end_names_the_version_that_acted(
    ticks_between: int,
) -> None:
    with exchange("ticks") as (made, rig):
        for version in range(1, 5):
            offer(made, version)
            rig.tick(ticks_between)
            made.succession.end_episode(1.0)  # judged, so that the next one may come
        labels = [(t.policy, round(float(t.action[0]), 6)) for t in rig.link.transitions]
    assert labels == [(policy, round(0.1 * policy, 6)) for policy, _ in labels]
    assert len({policy for policy, _ in labels}) >= 3


def test_each_transition_of_an_episode_names_the_version_that_acted() -> None:
    with exchange("episodes", max_episode_steps=3) as (made, rig):
        for version in range(1, 8):
            offer(made, version)
            rig.tick(4)
            rig.finish_reset()
            made.succession.end_episode(1.0)
        rig.tick(4)
        labels = [(t.policy, round(float(t.action[0]), 6)) for t in rig.link.transitions]
    assert labels == [(policy, round(0.1 * policy, 6)) for policy, _ in labels]
    assert len({policy for policy, _ in labels}) >= 3


def test_all_transitions_of_a_configuration_share_a_session_and_the_next_has_another() -> None:
    sessions = []
    for _ in range(2):
        with exchange("ticks") as (_, rig):
            rig.tick(5)
            (session,) = {t.session for t in rig.link.transitions}
            sessions.append(session)
    assert len(set(sessions)) == 2 and 0 not in sessions
