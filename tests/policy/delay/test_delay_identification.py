"""The delay is found from motion alone, on plants whose delay is known, or it is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_ros.policy.delay.delay_identification import DelayError, MotionSegment, identify_delay
from sac_ros.policy.delay.delay_measurement import (
    DelayMeasurement,
    DelayRange,
    delays_text,
    read_delays,
)
from sac_ros.policy.delay.delay_process import measure_delays
from sac_ros.policy.delay.delay_recording import DelayRecording, RecordedSegment, write_recording
from sac_ros.task.strict_yaml import ConfigError

PERIOD_S = 0.02
SAMPLE_S = 0.005
TRUTH_STEP_S = 0.0005


def recorded(
    delay_s: float,
    *,
    duration_s: float = 8.0,
    noise: float = 0.0,
    exploration: float = 1.0,
    answers: bool = True,
    seed: int = 0,
) -> MotionSegment:
    """Return a damped mass [position, velocity] under feedback and exploration, force delayed."""
    rng = np.random.default_rng(seed)
    num_steps = round(duration_s / TRUTH_STEP_S)
    position = velocity = 0.0
    command_times_s, commands, times_s, readings = [], [], [], []
    for step in range(num_steps):
        now_s = step * TRUTH_STEP_S
        if step % round(SAMPLE_S / TRUTH_STEP_S) == 0:
            times_s.append(now_s)
            readings.append(np.array([position, velocity]) + noise * rng.standard_normal(2))
        if step % round(PERIOD_S / TRUTH_STEP_S) == 0:
            command_times_s.append(now_s)
            commands.append(-2.0 * position - velocity + exploration * rng.standard_normal())
        felt = np.searchsorted(command_times_s, now_s - delay_s + 1e-9, side="right") - 1
        force = commands[felt] if felt >= 0 and answers else 0.0
        velocity += TRUTH_STEP_S * (20.0 * force - 3.0 * velocity)
        position += TRUTH_STEP_S * velocity
    return MotionSegment(
        command_times_s=np.array(command_times_s),
        commands=np.array(commands)[:, None],
        times_s=np.array(times_s),
        readings=np.array(readings),
    )


def identify(*stretches: MotionSegment, max_delay_s: float = 0.1) -> tuple[float, float, float]:
    delay = identify_delay(stretches, max_delay_s=max_delay_s, step_s=SAMPLE_S)
    return delay.best_s, delay.low_s, delay.high_s


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 60), st.sampled_from([0.0, 0.002]), st.integers(0, 1000))
def test_known_delay_is_found_though_it_is_no_multiple_of_any_period(
    delay_ms: int, noise: float, seed: int
) -> None:
    best_s, low_s, high_s = identify(recorded(1e-3 * delay_ms, noise=noise, seed=seed))
    assert best_s == pytest.approx(1e-3 * delay_ms, abs=2.1e-3)
    assert low_s - 1.1e-3 <= 1e-3 * delay_ms <= high_s + 1.1e-3


def test_several_short_stretches_tell_what_one_long_one_does() -> None:
    stretches = [recorded(0.033, duration_s=1.5, seed=seed) for seed in range(6)]
    assert identify(*stretches)[0] == pytest.approx(0.033, abs=2.1e-3)


@pytest.mark.parametrize(
    ("stretch", "reason"),
    [
        (recorded(0.03, answers=False, noise=0.01), "too little|too uncertain"),
        (recorded(0.03, exploration=0.0, noise=0.01), "too little|too uncertain"),
        (recorded(0.15), "too uncertain|the longest candidate|too little"),
        (recorded(0.03, duration_s=0.5), "usable moments"),
    ],
    ids=["robot does not move", "robot at rest", "longer than all candidates", "too short"],
)
def test_recording_that_cannot_tell_is_refused(stretch: MotionSegment, reason: str) -> None:
    with pytest.raises(DelayError, match=reason):
        identify(stretch)


def as_heard(stretch: MotionSegment, *, sensor_s: float, clock_offset_s: float) -> DelayRecording:
    """Return what a node hears of it: messages stamped, and late."""
    heard = RecordedSegment()
    for at_s, command in zip(stretch.command_times_s, stretch.commands, strict=True):
        heard.note_command(command, 50.0 + float(at_s))
    rng = np.random.default_rng(0)
    for at_s, readings in zip(stretch.times_s, stretch.readings, strict=True):
        arrival_s = 50.0 + float(at_s) + sensor_s + rng.uniform(0.0, 0.001)
        heard.note_readings(readings, 50.0 + float(at_s) + clock_offset_s, arrival_s)
    return DelayRecording(
        task="mass", control_period_s=PERIOD_S, is_simulated=False, stretches=(heard,)
    )


@pytest.mark.parametrize("clock_offset_s", [0.0, -1e6, 3600.0])
def test_sum_of_both_delays_is_right_whatever_the_publishers_clock_says(
    tmp_path: Path, clock_offset_s: float
) -> None:
    path = tmp_path / "recording.npz"
    heard = as_heard(recorded(0.030), sensor_s=0.012, clock_offset_s=clock_offset_s)
    write_recording(path, heard)
    measured = measure_delays(path)
    command, sensor = measured.command_delay_s, measured.sensor_delay_s
    assert command.best + sensor.best == pytest.approx(0.0425, abs=3e-3)
    if clock_offset_s == 0.0:
        assert sensor.low == pytest.approx(0.012, abs=1e-3) and sensor.high <= 0.0135
    else:
        assert sensor.high == 0.0  # nobody can tell, so the command has it all


def test_measurement_is_read_as_it_was_written_and_refused_by_name_otherwise(
    tmp_path: Path,
) -> None:
    measurement = DelayMeasurement(
        task="mass",
        duration_s=30.0,
        explained=0.9,
        command_delay_s=DelayRange(best=0.03, low=0.02, high=0.04),
        sensor_delay_s=DelayRange(best=0.01, low=0.01, high=0.01),
    )
    path = tmp_path / "delays.yaml"
    path.write_text(delays_text(measurement))
    assert read_delays(path) == measurement
    path.write_text(delays_text(measurement).replace("low: 0.02", "low: 0.05"))
    with pytest.raises(ConfigError, match=r"command_delay_s.*low <= best"):
        read_delays(path)
