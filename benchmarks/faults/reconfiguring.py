"""Configure, activate, deactivate and clean up again and again, with failures at every point.

Messages flow meanwhile. In each cycle one of the calls that make a publisher, subscription, timer
or client fails, in turn, or none. Judged after each cycle: nothing of the failed life is left, each
topic is subscribed once, and at the end: memory has not grown.

    python -m benchmarks.faults.reconfiguring --policy policies/half_cheetah.onnx --cycles 10000
"""

import argparse
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import rclpy
from lifecycle_msgs.msg import State
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from sac_ros.nodes.control.policy_node import PolicyNode
from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS
from sac_ros.nodes.process.freed_memory import release_large_blocks
from sac_ros.nodes.process.node_process import make_executor
from sac_ros.nodes.process.transport import avoid_shared_memory
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.task_spec import TaskSpec

MAKERS = ("create_publisher", "create_subscription", "create_client", "create_timer")
SPIN_S = 0.02
WARM_UP = 0.3
"""Share of the cycles after which memory counts: allocators fill their pools first."""


class PlannedError(Exception):
    """A call that was chosen to fail."""


class Saboteur:
    """Lets the n-th call that makes something of the node fail."""

    def __init__(self, node: Node) -> None:
        self.num_calls = 0
        self._fails_at = 0
        for name in MAKERS:
            setattr(node, name, self._watched(getattr(node, name)))

    def arm(self, fails_at: int) -> None:
        """Count from zero; let call number `fails_at` fail, none if 0."""
        self.num_calls, self._fails_at = 0, fails_at

    def _watched(self, make: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            self.num_calls += 1
            if self.num_calls == self._fails_at:
                raise PlannedError(f"call {self.num_calls}")
            return make(*arguments, **options)

        return call


class Robot(threading.Thread):
    """Publishes joints all the time, and a description once."""

    def __init__(self, task: TaskSpec) -> None:
        super().__init__(daemon=True)
        self._task = task
        self.is_over = threading.Event()

    def run(self) -> None:
        """Publish until `is_over`."""
        context = Context()
        rclpy.init(context=context)
        node = Node("robot", context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        joints = list(dict.fromkeys(j for r in self._task.readings for j in r.joints))
        states = node.create_publisher(JointState, "joint_states", 10)
        latch = node.create_publisher(String, "robot_description", LATCHED_QOS)
        latch.publish(String(data="<robot name='r'/>"))
        zeros = [0.0] * len(joints)
        while not self.is_over.wait(0.005):
            message = JointState(name=joints, position=zeros, velocity=zeros)
            message.header.stamp = node.get_clock().now().to_msg()
            states.publish(message)
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


def leftovers(node: Node) -> dict[str, int]:
    """Count what belongs to the node, and the process's threads."""
    return {
        "publishers": len(list(node.publishers)),
        "subscriptions": len(list(node.subscriptions)),
        "clients": len(list(node.clients)),
        "timers": len(list(node.timers)),
        "services": len(list(node.services)),
        "threads": threading.active_count(),
    }


def rss_mib() -> float:
    """Return this process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(policy: Path, cycles: int) -> dict[str, object]:
    """Return what was found in so many cycles; the process must not have used rclpy before."""
    release_large_blocks()
    avoid_shared_memory()
    arguments = [f"policy:={policy}", "learner:=learner_node", "reward:=topic"]
    rclpy.init(args=["x", "--ros-args", *(x for a in arguments for x in ("-p", a))])
    node, executor = PolicyNode(), make_executor("events")
    executor.add_node(node)
    saboteur, robot = Saboteur(node), Robot(OnnxPolicy.load(policy).task)
    robot.start()
    saboteur.arm(0)
    _live(node, executor)
    num_points, problems, baseline = saboteur.num_calls, list[str](), leftovers(node)
    failed = num_doubled = 0
    warm_mib = 0.0
    for cycle in range(cycles):
        fails_at = cycle % (num_points + 1)
        saboteur.arm(fails_at)
        is_whole, num_subscribed = _live(node, executor)
        failed += not is_whole
        num_doubled += num_subscribed > 1
        if is_whole is not (fails_at == 0):
            problems.append(f"cycle {cycle}: call {fails_at} failed, and was not noticed")
        if (left := leftovers(node)) != baseline:
            problems.append(f"cycle {cycle}, failing at {fails_at}: {left}, not {baseline}")
        if cycle == int(WARM_UP * cycles):
            gc.collect()
            warm_mib = rss_mib()
    gc.collect()
    robot.is_over.set()
    robot.join(5.0)
    return {
        "cycles": cycles,
        "points of failure": num_points,
        "failed as planned": failed,
        "problems": problems[:10],
        "num_problems": len(problems),
        "doubled subscriptions": num_doubled,
        "memory after warm-up [MiB]": round(warm_mib, 2),
        "growth [KiB a cycle]": round(
            1024 * (rss_mib() - warm_mib) / max(1, cycles - int(WARM_UP * cycles) - 1), 3
        ),
    }


def _live(node: PolicyNode, executor: object) -> tuple[bool, int]:
    """Live one life as far as it comes; return whether all of it, and how often it hears joints."""
    with suppress(Exception):  # a transition that is not possible from where a failure has led
        node.trigger_configure()
    if _is_in(node, State.PRIMARY_STATE_INACTIVE):
        with suppress(Exception):
            node.trigger_activate()
    is_whole = _is_in(node, State.PRIMARY_STATE_ACTIVE)
    until_s = time.monotonic() + SPIN_S
    while time.monotonic() < until_s:
        executor.spin_once(timeout_sec=0.005)  # type: ignore[attr-defined]
    num_subscribed = sum(s.topic_name == "/joint_states" for s in node.subscriptions)
    if is_whole:
        node.trigger_deactivate()
    if _is_in(node, State.PRIMARY_STATE_INACTIVE):
        node.trigger_cleanup()
    executor.spin_once(timeout_sec=0.001)  # type: ignore[attr-defined]
    return is_whole, num_subscribed


def _is_in(node: PolicyNode, state: int) -> bool:
    return bool(node._state_machine.current_state[0] == state)


def main() -> int:
    """Print the verdict as JSON; return 1 if there is a problem."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--cycles", type=int, default=10_000)
    options = parser.parse_args()
    report = run(options.policy, options.cycles)
    print(json.dumps(report, indent=2), flush=True)
    is_sound = not report["num_problems"] and not report["doubled subscriptions"]
    # rclpy's executor may wait for ever for what a planned failure has left in it.
    os._exit(0 if is_sound else 1)


if __name__ == "__main__":
    sys.exit(main())
