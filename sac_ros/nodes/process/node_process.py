"""How every node of this package runs as a process: executor, signals, exit status, --help."""

import sys
from collections.abc import Callable
from typing import Protocol

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from sac_ros.errors import InputError
from sac_ros.nodes.process.parameter_table import refuse_damaged_parameter_files
from sac_ros.nodes.process.stop_signals import StopRequest
from sac_ros.nodes.process.transport import avoid_shared_memory

# Long enough to cost nothing, short enough that Ctrl-C is felt at once.
SPIN_TIMEOUT_S = 0.05


class NodeProcess(Protocol):
    """A node and what to do with it before and after spinning."""

    @property
    def node(self) -> Node:
        """The node to spin."""
        ...

    def start(self) -> None:
        """Do what needs the node to be in its executor; raise InputError to end the process."""
        ...

    def is_done(self) -> bool:
        """Say whether the process may end by itself."""
        ...

    def finish(self) -> None:
        """Do what must happen while publishing is still possible."""
        ...


class StandaloneNode(Node):
    """A node that is a process of its own; by itself it does nothing and ends by a signal."""

    @property
    def node(self) -> Node:
        """The node to spin: this one."""
        return self

    def start(self) -> None:
        """Do what needs the node to be in its executor; raise InputError to end the process."""

    def is_done(self) -> bool:
        """Say whether the process may end by itself: never."""
        return False

    def finish(self) -> None:
        """Do what must happen while publishing is still possible."""


def run_process(make_process: Callable[[], NodeProcess]) -> int:
    """Run a node until it is done or a signal arrives.

    Returns the exit status: 0, or 2 with one line on stderr for bad input. `--help` lists the
    node's parameters.
    """
    wants_help = any(argument in ("-h", "--help") for argument in sys.argv[1:])
    program = sys.argv[0].rpartition("/")[2]
    stop = StopRequest()
    avoid_shared_memory()
    try:
        refuse_damaged_parameter_files(sys.argv)
        rclpy.init(
            args=None if wants_help else sys.argv,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        process = make_process()
        if wants_help:
            print(describe_parameters(program, process.node))
            return 0
        _spin(process, stop)
    except InputError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except (ParameterException, RuntimeError) as error:
        if not _is_users_fault(error):
            raise
        print(f"{program}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    finally:
        rclpy.try_shutdown()
    return 0


def make_executor(name: str) -> Executor:
    """Return the executor called `events`, `single` or `multi`."""
    if name == "single":
        return SingleThreadedExecutor()
    if name == "multi":
        return MultiThreadedExecutor()
    if name != "events":
        raise InputError(
            f"parameter 'executor' is {name!r}, expected 'events', 'single' or 'multi'"
        )
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()  # rclpy before Jazzy
    return EventsExecutor()


def describe_parameters(program: str, node: Node) -> str:
    """Return a usage text that lists every declared parameter with default and range."""
    lines = [
        f"usage: {program} [--ros-args -p NAME:=VALUE ... -r FROM:=TO ... --params-file FILE]",
        "",
        "parameters:",
    ]
    for name in sorted(node._parameters):
        parameter, descriptor = node.get_parameter(name), node.describe_parameter(name)
        if not descriptor.description:
            continue  # rclpy's own
        bounds = [
            f", {bound.from_value} to {bound.to_value}"
            for bound in (*descriptor.floating_point_range, *descriptor.integer_range)
        ]
        lines.append(f"  {name} (default {parameter.value!r}{''.join(bounds)})")
        lines.append(f"      {descriptor.description}")
    return "\n".join(lines)


def _spin(process: NodeProcess, stop: StopRequest) -> None:
    """Spin with finite waits only.

    EventsExecutor.spin() never returns and holds the interpreter, and SingleThreadedExecutor.spin()
    can miss SIGTERM while nothing wakes it.
    """
    node = process.node
    name = node.get_parameter("executor").value if node.has_parameter("executor") else "events"
    executor = make_executor(str(name))
    executor.add_node(node)
    try:
        process.start()
        while not stop.is_set and not process.is_done():
            executor.spin_once(timeout_sec=SPIN_TIMEOUT_S)
    finally:
        process.finish()
        executor.shutdown()
        node.destroy_node()


def _is_users_fault(error: Exception) -> bool:
    """Say whether rclpy complains about what stands on the command line or in a parameter file."""
    return isinstance(error, ParameterException) or "ROSArgs" in type(error).__name__
