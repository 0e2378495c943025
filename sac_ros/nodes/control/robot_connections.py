"""What a policy node has from configure to cleanup: policy, control loop, topics."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from rclpy.client import Client
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.publisher import LifecyclePublisher
from std_msgs.msg import String
from std_srvs.srv import Trigger

from sac_ros.nodes.control.delay_recorder import DelayRecorder
from sac_ros.nodes.control.episode_cycle import EpisodeCycle
from sac_ros.nodes.control.intervention import Intervention
from sac_ros.nodes.control.policy_parameters import PolicyParameters
from sac_ros.nodes.control.robot_link import RobotLink
from sac_ros.nodes.exchange.policy_exchange import PolicyExchange, selection
from sac_ros.nodes.exchange.transition_publisher import TransitionPublisher, not_yet_rated
from sac_ros.nodes.health.loop_statistics import LoopStatistics
from sac_ros.nodes.messages.description_listener import DescriptionListener
from sac_ros.nodes.messages.message_conversion import message_class
from sac_ros.nodes.messages.qos_profiles import COMMAND_QOS, LATCHED_QOS, SENSOR_QOS
from sac_ros.nodes.messages.sensor_readings import SensorReadings
from sac_ros.nodes.messages.sensor_subscriptions import subscribe_to_sensors
from sac_ros.nodes.process.node_resources import NodeResources
from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.policy.veto import load_veto
from sac_ros.task.joint_limit import JointLimit
from sac_ros.task.task_spec import TaskSpec, load_task

SHADOW_TOPIC = "~/shadow_action"
INTERVENTION_TOPIC = "~/intervention"


@dataclass(frozen=True, kw_only=True)
class RobotConnections:
    """What exists from configure to cleanup."""

    parameters: PolicyParameters
    task: TaskSpec
    policy: OnnxPolicy
    """The one that came; `exchange` knows which one runs."""
    exchange: PolicyExchange
    control_loop: ControlLoop
    readings: SensorReadings
    cycle: EpisodeCycle
    delays: DelayRecorder
    statistics: LoopStatistics
    commands: "LifecyclePublisher[object]"
    intervention: Intervention
    stream: TransitionPublisher
    resets: "Client[Trigger.Request, Trigger.Response]"


def connect(
    node: LifecycleNode,
    resources: NodeResources,
    parameters: PolicyParameters,
    *,
    link: RobotLink,
    on_sensor: Callable[[str, object], None],
    on_intervention: Callable[[object], None],
    on_garbage: Callable[[], None],
    is_simulated: bool,
) -> RobotConnections:
    """Verify everything that can be refused, then make publishers and subscriptions.

    Raises InputError; whatever was made until then belongs to `resources`. `on_garbage` may be
    called from any thread. With `is_simulated`, time may pass slower than the steady clock's.
    """
    task = load_task(parameters.task) if parameters.task else None
    expected = None if task is None else task.fingerprint
    policy = OnnxPolicy.load(parameters.policy, expected_fingerprint=expected)
    veto = load_veto(parameters.veto)
    task = _with_max_age(task or policy.task, parameters.max_age_s)
    readings = SensorReadings(task, judges_delay=not is_simulated)
    # In shadow, the robot is somebody else's: it is neither cut short nor reset.
    episodes = parameters.run == "episodes" and not parameters.shadow
    statistics = LoopStatistics(task.control_period_s, counts_missed=not is_simulated)
    exchange = PolicyExchange(
        node,
        resources,
        parameters.exchange,
        task,
        policy,
        selection(
            parameters.action_mode, parameters.exploration, np.random.default_rng(parameters.seed)
        ),
        on_garbage,
    )
    control_loop = ControlLoop(
        task,
        statistics.timed(exchange.select_action),
        max_episode_steps=task.max_episode_steps if episodes else None,
        fade_in_s=parameters.fade_in_s,
        veto=veto,
        rate=None if parameters.rewards.source == "task" else not_yet_rated,
        success_reward=parameters.rewards.success_reward,
    )
    intervention = Intervention(parameters.intervention_timeout_s, judges_delay=not is_simulated)
    cycle = EpisodeCycle(
        task=task,
        control_loop=control_loop,
        readings=readings,
        intervention=intervention,
        link=link,
        resets_between_episodes=episodes,
        reset_settle_s=parameters.reset_settle_s,
        reset_timeout_s=parameters.reset_timeout_s,
        max_late_s=(
            np.inf if is_simulated else parameters.max_late_periods * task.control_period_s
        ),
    )
    _announce(resources, policy)
    connections = RobotConnections(
        parameters=parameters,
        task=task,
        policy=policy,
        exchange=exchange,
        control_loop=control_loop,
        readings=readings,
        cycle=cycle,
        delays=DelayRecorder(task, parameters.delay, link.info, is_simulated=is_simulated),
        statistics=statistics,
        # In shadow, nothing in this process could reach the command topic.
        commands=resources.lifecycle_publisher(
            message_class(task.action.type),
            SHADOW_TOPIC if parameters.shadow else task.action.topic,
            COMMAND_QOS,
        ),
        intervention=intervention,
        stream=TransitionPublisher(
            resources,
            parameters.rewards,
            statistics=statistics,
            exchange=exchange,
            # In shadow, nobody executed the action that a transition speaks of.
            is_published=parameters.publish_transitions and not parameters.shadow,
            warn=link.warn,
        ),
        resets=resources.client(Trigger, parameters.reset_service),
    )
    # Of the command's own type: what moves the robot by hand today only has to be remapped.
    resources.subscription(
        message_class(task.action.type), INTERVENTION_TOPIC, on_intervention, SENSOR_QOS
    )
    readings.hindrance = DescriptionListener(
        node,
        resources,
        task.action.joints,
        parameters.wait_for_description,
        partial(_narrow, control_loop, link),
    ).hindrance
    subscribe_to_sensors(node, resources, readings, on_sensor)
    return connections


def _announce(resources: NodeResources, policy: OnnxPolicy) -> None:
    """Publish the policy's contract, for whoever joins and for recorders."""
    contract = resources.publisher(String, "~/contract", LATCHED_QOS)
    contract.publish(String(data=policy.contract.to_json()))


def _narrow(
    control_loop: ControlLoop, link: RobotLink, limits: tuple[JointLimit, ...]
) -> list[str]:
    """Narrow the joint limits to the robot's own; return which of them leave no command."""
    safety_filter = control_loop.safety_filter
    usable: list[JointLimit] = []
    contradictions: list[str] = []
    safety_filter.tighten(())  # an earlier description holds no longer
    for limit in limits:
        try:
            safety_filter.tighten((*usable, limit))
        except ValueError as error:
            contradictions.append(f"{limit.joint!r}: {error}")
        else:
            usable.append(limit)
    if safety_filter.limiter.unenforceable:
        link.warn(
            f"without a reading of these, the task cannot enforce the"
            f" {', '.join(safety_filter.limiter.unenforceable)}"
        )
    return contradictions


def _with_max_age(task: TaskSpec, max_age_s: float) -> TaskSpec:
    """Return the task with another greatest age for all readings; 0.0 keeps its own."""
    if max_age_s == 0.0:
        return task
    return replace(
        task,
        observation=tuple(replace(c, max_age_s=max_age_s) for c in task.observation),
        reward_readings=tuple(replace(r, max_age_s=max_age_s) for r in task.reward_readings),
    )
