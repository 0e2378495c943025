"""What a policy node has from configure to cleanup: policy, control loop, topics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from rclpy.client import Client
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription
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
from sac_ros.nodes.messages.message_conversion import message_class
from sac_ros.nodes.messages.qos_profiles import COMMAND_QOS, LATCHED_QOS, SENSOR_QOS
from sac_ros.nodes.messages.sensor_readings import SensorReadings
from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.policy.veto import load_veto
from sac_ros.task.task_spec import TaskSpec, load_task

SHADOW_TOPIC = "~/shadow_action"


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
    contract: "Publisher[String]"
    resets: "Client[Trigger.Request, Trigger.Response]"
    subscriptions: "Sequence[Subscription[object]]"


def connect(
    node: LifecycleNode,
    parameters: PolicyParameters,
    *,
    link: RobotLink,
    on_sensor: Callable[[str, object], None],
    on_robot_description: Callable[[String], None],
    on_intervention: Callable[[object], None],
    on_garbage: Callable[[], None],
    is_simulated: bool,
) -> RobotConnections:
    """Verify everything that can be refused, then make publishers and subscriptions.

    Raises InputError. `on_garbage` may be called from any thread. With `is_simulated`, time may
    pass slower than the steady clock's.
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
    contract = node.create_publisher(String, "~/contract", LATCHED_QOS)
    contract.publish(String(data=policy.contract.to_json()))
    return RobotConnections(
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
        commands=node.create_lifecycle_publisher(
            message_class(task.action.type),
            SHADOW_TOPIC if parameters.shadow else task.action.topic,
            COMMAND_QOS,
        ),
        intervention=intervention,
        stream=TransitionPublisher(
            node,
            parameters.rewards,
            statistics=statistics,
            exchange=exchange,
            # In shadow, nobody executed the action that a transition speaks of.
            is_published=parameters.publish_transitions and not parameters.shadow,
            warn=link.warn,
        ),
        contract=contract,
        resets=node.create_client(Trigger, parameters.reset_service),
        subscriptions=[
            node.create_subscription(
                String, "robot_description", on_robot_description, LATCHED_QOS
            ),
            # Of the command's own type: what moves the robot by hand today only has to be remapped.
            node.create_subscription(
                message_class(task.action.type), "~/intervention", on_intervention, SENSOR_QOS
            ),
            *(
                node.create_subscription(
                    message_class(type_name), topic, partial(on_sensor, topic), SENSOR_QOS
                )
                for topic, type_name in readings.topic_types.items()
            ),
        ],
    )


def disconnect(node: LifecycleNode, connections: RobotConnections) -> None:
    """Take everything from the node again."""
    for subscription in connections.subscriptions:
        node.destroy_subscription(subscription)
    connections.exchange.destroy()
    node.destroy_client(connections.resets)
    node.destroy_publisher(connections.contract)
    # destroy_publisher would leave it registered with the lifecycle node.
    node.destroy_lifecycle_publisher(connections.commands)
    connections.stream.destroy()


def _with_max_age(task: TaskSpec, max_age_s: float) -> TaskSpec:
    """Return the task with another greatest age for all readings; 0.0 keeps its own."""
    if max_age_s == 0.0:
        return task
    return replace(
        task,
        observation=tuple(replace(c, max_age_s=max_age_s) for c in task.observation),
        reward_readings=tuple(replace(r, max_age_s=max_age_s) for r in task.reward_readings),
    )
