"""The policy node's parameters: declared with unit and range, read once into a frozen record."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from rclpy.node import Node

from sac_ros.nodes.control.delay_recorder import DelaySettings
from sac_ros.nodes.exchange.policy_exchange import ExchangeSettings
from sac_ros.nodes.exchange.transition_publisher import RewardSettings
from sac_ros.nodes.messages.description_listener import Wait
from sac_ros.nodes.process.parameter_table import (
    SEED_RANGE,
    Parameter,
    ParameterError,
    choice,
    count,
    flag,
    number,
    path,
    text,
)
from sac_ros.policy.updates.return_guard import GuardSettings

ActOn = Literal["timer", "observation"]
Run = Literal["continuous", "episodes"]
ActionMode = Literal["mode", "sample"]
Swap = Literal["episodes", "ticks"]


@dataclass(frozen=True, kw_only=True)
class PolicyParameters:
    """What `policy_node` was told; the table below explains each."""

    policy: Path
    task: str
    act_on: ActOn
    run: Run
    action_mode: ActionMode
    seed: int
    reset_service: str
    reset_settle_s: float
    reset_timeout_s: float
    max_age_s: float
    wait_for_description: Wait
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


PARAMETERS = (
    Parameter("policy", "", "Path of the exported policy (.onnx)."),
    Parameter(
        "task",
        "",
        "Task name, or path of a task .yaml; its fingerprint must be the policy's. Empty: the task"
        " that the policy carries.",
    ),
    Parameter(
        "act_on",
        "timer",
        "'timer': act at the task's control period on a steady timer. 'observation': act when the"
        " observation that is due arrives, by the stamps of the joints, or of the first reading of"
        " a task without any.",
        choices=("timer", "observation"),
    ),
    Parameter(
        "run",
        "continuous",
        "'continuous': no time limit; a termination stops the robot and deactivates the node."
        " 'episodes': a termination or the time limit stops the robot, asks for a reset and starts"
        " the next episode.",
        choices=("continuous", "episodes"),
    ),
    Parameter(
        "action_mode",
        "mode",
        "'mode': the policy's deterministic action. 'sample': explore as in training.",
        choices=("mode", "sample"),
    ),
    Parameter(
        "exploration",
        1.0,
        "Factor on the policy's own noise, for action_mode: sample.",
        (0.0, 10.0),
    ),
    Parameter("seed", 0, "Seed of the exploration noise.", SEED_RANGE),
    Parameter(
        "reset_service",
        "sim_robot/reset",
        "Service (std_srvs/Trigger) that brings the robot to a start pose, for run: episodes.",
    ),
    Parameter(
        "reset_settle_s",
        0.1,
        "Wait after a reset before readings count again, in s.",
        (0.0, 60.0),
    ),
    Parameter(
        "reset_timeout_s",
        30.0,
        "Longest that a reset may take, in s; without an answer it is then asked for again.",
        (1.0, 3600.0),
    ),
    Parameter(
        "max_age_s",
        0.0,
        "Greatest age of any reading, in s, instead of the task's own; 0.0 keeps the task's.",
        (0.0, 60.0),
    ),
    Parameter(
        "wait_for_description",
        "if_published",
        "Whether the first command waits for the joint limits of robot_description."
        " 'if_published': where somebody publishes it. 'always' or 'never'. A robot that sends its"
        " next observation only after a command needs 'never'.",
        choices=("if_published", "always", "never"),
    ),
    Parameter(
        "max_late_periods",
        2.0,
        "A tick that is late by more than this many control periods is answered by the task's"
        " reaction.",
        (0.1, 1000.0),
    ),
    Parameter(
        "fade_in_s",
        0.0,
        "How long the action is blended in, from the command in force, after an activation, a"
        " reset, a fault or an intervention, in s.",
        (0.0, 60.0),
    ),
    Parameter("shadow", False, "Command nothing: what would be commanded goes to ~/shadow_action."),
    Parameter(
        "veto",
        "",
        "Python function, as 'module:function', that gets command and readings before every command"
        " and returns why it must not be executed, or None. Empty: none.",
    ),
    Parameter(
        "intervention_timeout_s",
        0.2,
        "Without a message on ~/intervention for longer than this, the policy commands again.",
        (0.01, 60.0),
    ),
    Parameter("publish_transitions", True, "Publish every control step on ~/transitions."),
    Parameter(
        "reward",
        "task",
        "'task': the reward is the task's terms. 'topic': each step is published on ~/unrated, and"
        " waits for its reward on ~/reward.",
        choices=("task", "topic"),
    ),
    Parameter(
        "reward_timeout_s",
        0.5,
        "How long a step may wait for its reward on ~/reward once it has ended, in s.",
        (0.01, 60.0),
    ),
    Parameter(
        "unrated",
        "drop",
        "What becomes of a step without a reward in time, with reward: topic. 'drop': it is not"
        " sent, and leaves a gap. 'zero': silence means a reward of zero.",
        choices=("drop", "zero"),
    ),
    Parameter(
        "success_reward",
        1.0,
        "What ~/success adds to the reward of the step that it ends.",
        (-1e6, 1e6),
    ),
    Parameter(
        "learner",
        "",
        "Name of the learner node whose policies may replace this one. Empty: none may.",
    ),
    Parameter(
        "swap",
        "episodes",
        "'episodes': a new policy begins with an episode. 'ticks': with the next tick.",
        choices=("episodes", "ticks"),
    ),
    Parameter(
        "key_file",
        "",
        "File, readable by its owner alone, with the key (32 bytes or more) that updates must be"
        " signed with. Empty: unsigned ones are taken.",
    ),
    Parameter(
        "max_action_change",
        0.5,
        "Greatest mean distance between a new policy's actions and the running one's over the last"
        " observations, in units of [-1, 1].",
        (0.0, 2.0),
    ),
    Parameter(
        "max_drop",
        0.2,
        "A new policy's return may lie this share of the baseline return below it; then the last"
        " good policy comes back.",
        (0.001, 0.999),
    ),
    Parameter(
        "baseline_episodes",
        3,
        "Episodes with the policy as it came, before any other is let in.",
        (1, 1000),
    ),
    Parameter(
        "guard_window",
        3,
        "Newest episodes of which no more than half may return less than the bound; 1: none may.",
        (1, 1000),
    ),
    Parameter(
        "measure_delay_s",
        0.0,
        "Listen to this much motion under the policy, in s, and work out the delays between command"
        " and effect; nothing else is commanded for it. 0.0: do not.",
        (0.0, 3600.0),
    ),
    Parameter(
        "delays_file",
        "delays.yaml",
        "File for the delays that were measured, for sac-ros train --delays.",
    ),
    Parameter(
        "diagnostics_period_s",
        1.0,
        "Time between two messages on /diagnostics, in s.",
        (0.1, 60.0),
    ),
    Parameter(
        "realtime_priority",
        0,
        "Priority of this process before all ordinary ones (SCHED_FIFO), which needs the right to"
        " it. 0: none, it shares the processor like any other.",
        (0, 98),
    ),
    Parameter(
        "executor",
        "events",
        "'events': the quickest. 'single' or 'multi': rclpy's other executors, to compare.",
        choices=("events", "single", "multi"),
        is_fixed=True,
    ),
    Parameter(
        "autostart",
        False,
        "Configure and activate without a lifecycle manager; a failure ends the process, but for an"
        " emergency stop that is set: then the node stays inactive.",
        is_fixed=True,
    ),
    Parameter(
        "stop_with_parent",
        False,
        "Send the last command and end when the process that started this one has ended, as"
        " ros2 launch does on SIGTERM without ending its nodes.",
        is_fixed=True,
    ),
)


def read_policy_parameters(node: Node) -> PolicyParameters:
    """Return the parameters as they are now; raise ParameterError with what is wrong."""
    policy = path(node, "policy")
    if policy is None:
        raise ParameterError("parameter 'policy' is empty; give the path of an exported .onnx")
    delay = DelaySettings(
        duration_s=number(node, "measure_delay_s"),
        path=Path(text(node, "delays_file")).expanduser().absolute(),
    )
    if delay.duration_s > 0.0 and flag(node, "shadow"):
        raise ParameterError(
            "parameter 'measure_delay_s' is set in shadow, where no command has an effect; set one"
            " of the two"
        )
    if delay.duration_s > 0.0 and not delay.path.parent.is_dir():
        raise ParameterError(
            f"parameter 'delays_file' is {str(delay.path)!r}, but there is no such folder; make it"
        )
    return PolicyParameters(
        policy=policy,
        task=text(node, "task"),
        act_on=cast(ActOn, choice(node, PARAMETERS, "act_on")),
        run=cast(Run, choice(node, PARAMETERS, "run")),
        action_mode=cast(ActionMode, choice(node, PARAMETERS, "action_mode")),
        seed=count(node, "seed"),
        reset_service=text(node, "reset_service"),
        reset_settle_s=number(node, "reset_settle_s"),
        reset_timeout_s=number(node, "reset_timeout_s"),
        max_age_s=number(node, "max_age_s"),
        wait_for_description=cast(Wait, choice(node, PARAMETERS, "wait_for_description")),
        publish_transitions=flag(node, "publish_transitions"),
        shadow=flag(node, "shadow"),
        fade_in_s=number(node, "fade_in_s"),
        max_late_periods=number(node, "max_late_periods"),
        realtime_priority=count(node, "realtime_priority"),
        veto=text(node, "veto"),
        diagnostics_period_s=number(node, "diagnostics_period_s"),
        exploration=number(node, "exploration"),
        intervention_timeout_s=number(node, "intervention_timeout_s"),
        rewards=RewardSettings(
            source=cast(Literal["task", "topic"], choice(node, PARAMETERS, "reward")),
            timeout_s=number(node, "reward_timeout_s"),
            unrated=cast(Literal["drop", "zero"], choice(node, PARAMETERS, "unrated")),
            success_reward=number(node, "success_reward"),
        ),
        exchange=ExchangeSettings(
            learner=text(node, "learner"),
            swap=cast(Swap, choice(node, PARAMETERS, "swap")),
            max_action_change=number(node, "max_action_change"),
            key_file=text(node, "key_file"),
            guard=GuardSettings(
                baseline_episodes=count(node, "baseline_episodes"),
                window=count(node, "guard_window"),
                max_drop=number(node, "max_drop"),
            ),
        ),
        delay=delay,
    )
