"""The policy node's parameters: declared with unit and range, read once into a frozen record."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from sac_ros.errors import InputError
from sac_ros.nodes.delay_recorder import DelaySettings
from sac_ros.nodes.policy_exchange import ExchangeSettings
from sac_ros.nodes.transition_stream import RewardSettings
from sac_ros.policy.return_guard import GuardSettings

ActOn = Literal["timer", "observation"]
Run = Literal["continuous", "episodes"]
ActionMode = Literal["mode", "sample"]
Swap = Literal["episodes", "ticks"]


class ParameterError(InputError):
    """A parameter has a value the node cannot use."""


@dataclass(frozen=True, kw_only=True)
class PolicyParameters:
    """What `policy_node` was told; the descriptors below explain each."""

    policy: Path
    task: str
    act_on: ActOn
    run: Run
    action_mode: ActionMode
    seed: int
    reset_service: str
    reset_settle_s: float
    max_age_s: float
    publish_transitions: bool
    shadow: bool
    fade_in_s: float
    max_late_periods: float
    realtime_priority: int
    veto: str
    diagnostics_period_s: float
    exploration: float
    intervention_timeout_s: float
    rewards: RewardSettings
    exchange: ExchangeSettings
    delay: DelaySettings


def declare_policy_parameters(node: Node) -> None:
    """Declare every parameter of the policy node with its description and range."""
    texts = {
        "policy": ("", "Path of the exported policy (.onnx)."),
        "task": (
            "",
            "Task name, or path of a task .yaml; its fingerprint must be the policy's. Empty: the"
            " task that the policy carries.",
        ),
        "act_on": (
            "timer",
            "'timer': act at the task's control period on a steady timer. 'observation': act when"
            " the observation that is due arrives.",
        ),
        "run": (
            "continuous",
            "'continuous': no time limit; a termination stops the robot and deactivates the node."
            " 'episodes': a termination or the time limit stops the robot, asks for a reset and"
            " starts the next episode.",
        ),
        "action_mode": (
            "mode",
            "'mode': the policy's deterministic action. 'sample': explore as in training.",
        ),
        "reset_service": (
            "sim_robot/reset",
            "Service (std_srvs/Trigger) that brings the robot to a start pose, for run: episodes.",
        ),
        "veto": (
            "",
            "Python function, as 'module:function', that gets command and readings before every"
            " command and returns why it must not be executed, or None. Empty: none.",
        ),
        "reward": (
            "task",
            "'task': the reward is the task's terms. 'topic': each step is published on ~/unrated,"
            " and waits for its reward on ~/reward.",
        ),
        "unrated": (
            "drop",
            "What becomes of a step without a reward in time, with reward: topic. 'drop': it is not"
            " sent, and leaves a gap. 'zero': silence means a reward of zero.",
        ),
        "learner": (
            "",
            "Name of the learner node whose policies may replace this one. Empty: none may.",
        ),
        "swap": (
            "episodes",
            "'episodes': a new policy begins with an episode. 'ticks': with the next tick.",
        ),
        "key_file": (
            "",
            "File, readable by its owner alone, with the key (32 bytes or more) that updates must"
            " be signed with. Empty: unsigned ones are taken.",
        ),
        "delays_file": (
            "delays.yaml",
            "File for the delays that were measured, for sac-ros train --delays.",
        ),
        "executor": (
            "events",
            "'events': the quickest. 'single' or 'multi': rclpy's other executors, to compare.",
        ),
    }
    for name, (default, description) in texts.items():
        node.declare_parameter(name, default, ParameterDescriptor(description=description))
    node.declare_parameter(
        "seed",
        0,
        ParameterDescriptor(
            description="Seed of the exploration noise.",
            integer_range=[IntegerRange(from_value=0, to_value=2**31 - 1, step=1)],
        ),
    )
    _declare_seconds(
        node, "reset_settle_s", 0.1, 60.0, "Wait after a reset before readings count again, in s."
    )
    _declare_seconds(
        node,
        "max_age_s",
        0.0,
        60.0,
        "Greatest age of any reading, in s, instead of the task's own; 0.0 keeps the task's.",
    )
    _declare_seconds(
        node,
        "fade_in_s",
        0.0,
        60.0,
        "How long the action is blended in, from the command in force, after an activation, a"
        " reset, a fault or an intervention, in s.",
    )
    for name, default_s, description in (
        (
            "intervention_timeout_s",
            0.2,
            "Without a message on ~/intervention for longer than this, the policy commands again.",
        ),
        (
            "reward_timeout_s",
            0.5,
            "How long a step may wait for its reward on ~/reward once it has ended, in s.",
        ),
    ):
        _declare_number(node, name, default_s, (0.01, 60.0), description)
    _declare_seconds(
        node,
        "measure_delay_s",
        0.0,
        3600.0,
        "Listen to this much motion under the policy, in s, and work out the delays between command"
        " and effect; nothing else is commanded for it. 0.0: do not.",
    )
    _declare_number(
        node,
        "max_late_periods",
        2.0,
        (0.1, 1000.0),
        "A tick that is late by more than this many control periods is answered by the task's"
        " reaction.",
    )
    node.declare_parameter(
        "realtime_priority",
        0,
        ParameterDescriptor(
            description="Priority of this process before all ordinary ones (SCHED_FIFO), which"
            " needs the right to it. 0: none, it shares the processor like any other.",
            integer_range=[IntegerRange(from_value=0, to_value=98, step=1)],
        ),
    )
    _declare_number(
        node,
        "diagnostics_period_s",
        1.0,
        (0.1, 60.0),
        "Time between two messages on /diagnostics, in s.",
    )
    for name, number, bounds, description in (
        (
            "exploration",
            1.0,
            (0.0, 10.0),
            "Factor on the policy's own noise, for action_mode: sample.",
        ),
        (
            "success_reward",
            1.0,
            (-1e6, 1e6),
            "What ~/success adds to the reward of the step that it ends.",
        ),
        (
            "max_action_change",
            0.5,
            (0.0, 2.0),
            "Greatest mean distance between a new policy's actions and the running one's over the"
            " last observations, in units of [-1, 1].",
        ),
        (
            "max_drop",
            0.2,
            (0.001, 0.999),
            "A new policy's mean return may lie this share of the reference return below it; then"
            " the last good policy comes back.",
        ),
    ):
        _declare_number(node, name, number, bounds, description)
    for name, description in (
        ("baseline_episodes", "Episodes with the policy as it came, before any other is let in."),
        ("guard_window", "Episodes whose mean return is compared with the reference."),
    ):
        node.declare_parameter(
            name,
            3,
            ParameterDescriptor(
                description=description,
                integer_range=[IntegerRange(from_value=1, to_value=1000, step=1)],
            ),
        )
    node.declare_parameter(
        "shadow",
        False,
        ParameterDescriptor(
            description="Command nothing: what would be commanded goes to ~/shadow_action."
        ),
    )
    node.declare_parameter(
        "publish_transitions",
        True,
        ParameterDescriptor(description="Publish every control step on ~/transitions."),
    )
    node.declare_parameter(
        "autostart",
        False,
        ParameterDescriptor(
            description="Configure and activate without a lifecycle manager; a failure ends the"
            " process."
        ),
    )


def read_policy_parameters(node: Node) -> PolicyParameters:
    """Return the parameters as they are now; raise ParameterError with what is wrong."""
    policy = _text(node, "policy")
    if not policy:
        raise ParameterError("parameter 'policy' is empty; give the path of an exported .onnx")
    delay = DelaySettings(
        duration_s=float(node.get_parameter("measure_delay_s").value),
        path=Path(_text(node, "delays_file")).expanduser().absolute(),
    )
    if delay.duration_s > 0.0 and node.get_parameter("shadow").value:
        raise ParameterError(
            "parameter 'measure_delay_s' is set in shadow, where no command has an effect; set one"
            " of the two"
        )
    if delay.duration_s > 0.0 and not delay.path.parent.is_dir():
        raise ParameterError(
            f"parameter 'delays_file' is {str(delay.path)!r}, but there is no such folder; make it"
        )
    return PolicyParameters(
        policy=Path(policy).expanduser(),
        task=_text(node, "task"),
        act_on=cast(ActOn, _choice(node, "act_on", ("timer", "observation"))),
        run=cast(Run, _choice(node, "run", ("continuous", "episodes"))),
        action_mode=cast(ActionMode, _choice(node, "action_mode", ("mode", "sample"))),
        seed=int(node.get_parameter("seed").value),
        reset_service=_text(node, "reset_service"),
        reset_settle_s=float(node.get_parameter("reset_settle_s").value),
        max_age_s=float(node.get_parameter("max_age_s").value),
        publish_transitions=bool(node.get_parameter("publish_transitions").value),
        shadow=bool(node.get_parameter("shadow").value),
        fade_in_s=float(node.get_parameter("fade_in_s").value),
        max_late_periods=float(node.get_parameter("max_late_periods").value),
        realtime_priority=int(node.get_parameter("realtime_priority").value),
        veto=_text(node, "veto"),
        diagnostics_period_s=float(node.get_parameter("diagnostics_period_s").value),
        exploration=float(node.get_parameter("exploration").value),
        intervention_timeout_s=float(node.get_parameter("intervention_timeout_s").value),
        rewards=RewardSettings(
            source=cast(Literal["task", "topic"], _choice(node, "reward", ("task", "topic"))),
            timeout_s=float(node.get_parameter("reward_timeout_s").value),
            unrated=cast(Literal["drop", "zero"], _choice(node, "unrated", ("drop", "zero"))),
            success_reward=float(node.get_parameter("success_reward").value),
        ),
        exchange=ExchangeSettings(
            learner=_text(node, "learner"),
            swap=cast(Swap, _choice(node, "swap", ("episodes", "ticks"))),
            max_action_change=float(node.get_parameter("max_action_change").value),
            key_file=_text(node, "key_file"),
            guard=GuardSettings(
                baseline_episodes=int(node.get_parameter("baseline_episodes").value),
                window=int(node.get_parameter("guard_window").value),
                max_drop=float(node.get_parameter("max_drop").value),
            ),
        ),
        delay=delay,
    )


def _declare_seconds(
    node: Node, name: str, default: float, longest_s: float, description: str
) -> None:
    _declare_number(node, name, default, (0.0, longest_s), description)


def _declare_number(
    node: Node, name: str, default: float, bounds: tuple[float, float], description: str
) -> None:
    least, greatest = bounds
    allowed = FloatingPointRange(from_value=least, to_value=greatest, step=0.0)
    node.declare_parameter(
        name,
        default,
        ParameterDescriptor(description=description, floating_point_range=[allowed]),
    )


def _text(node: Node, name: str) -> str:
    return str(node.get_parameter(name).value)


def _choice(node: Node, name: str, choices: tuple[str, ...]) -> str:
    value = _text(node, name)
    if value not in choices:
        raise ParameterError(f"parameter {name!r} is {value!r}, expected one of {list(choices)}")
    return value
