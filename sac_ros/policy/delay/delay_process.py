"""Compute the delay of a recording: python -m sac_ros.policy.delay.delay_process IN OUT."""

import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sac_ros.atomic_write import replace_text
from sac_ros.errors import InputError
from sac_ros.policy.delay.delay_identification import Delay, MotionSegment, identify_delay
from sac_ros.policy.delay.delay_measurement import DelayMeasurement, DelayRange, delays_text

MIN_TRIED_S = 0.3
"""Candidate delays go up to this, or up to five control periods if that is longer."""
NICENESS = 10
CLOCK_TOLERANCE_S = 0.002
"""Tolerance for synchronised clocks: a message may seem to arrive this much before its stamp."""


def measure_delays(path: Path) -> DelayMeasurement:
    """Compute the delays of a recording; raise DelayError if they cannot be identified."""
    with np.load(path, allow_pickle=False) as content:
        parts = [
            {
                name: content[f"{index}/{name}"]
                for name in ("command_times_s", "commands", "arrivals_s", "stamps_s", "readings")
            }
            for index in range(int(content["num_stretches"]))
        ]
        task, period_s = str(content["task"]), float(content["control_period_s"])
        is_simulated = bool(content["is_simulated"])
    parts = [part for part in parts if len(part["arrivals_s"]) > 1]
    lags_s = np.concatenate([part["arrivals_s"] - part["stamps_s"] for part in parts] or [[]])
    # In simulation, the /clock message follows the messages stamped with it, so messages seem to
    # arrive too early; the latest ones are closest to the true delay.
    percentiles = (5.0, 95.0, 95.0) if is_simulated else (5.0, 50.0, 95.0)
    if is_simulated:
        lags_s = np.maximum(lags_s, 0.0)
    is_stamped = len(lags_s) > 0 and bool(np.isfinite(lags_s).all())
    lags = np.percentile(lags_s, percentiles) if is_stamped else np.zeros(3)
    lag_s = float(lags[1])
    stretches = [
        MotionSegment(
            command_times_s=part["command_times_s"],
            commands=part["commands"],
            # Stamps have less jitter than arrival times: use stamps shifted by the median delay.
            times_s=part["stamps_s"] + lag_s if is_stamped else part["arrivals_s"],
            readings=part["readings"],
        )
        for part in parts
    ]
    spacings_s = [np.diff(stretch.times_s) for stretch in stretches]
    spacing_s = float(np.median(np.concatenate(spacings_s))) if stretches else period_s
    total = identify_delay(
        stretches,
        max_delay_s=max(MIN_TRIED_S, 5.0 * period_s),
        step_s=max(spacing_s, period_s / 4.0),
    )
    sensor = _sensor_delay(lags, total)
    return DelayMeasurement(
        task=task,
        duration_s=round(sum(float(np.ptp(part["arrivals_s"])) for part in parts), 3),
        explained=round(total.explained, 4),
        command_delay_s=_rounded(
            *(max(0.0, s - sensor.best) for s in (total.best_s, total.low_s, total.high_s))
        ),
        sensor_delay_s=sensor,
    )


NO_DELAY = DelayRange(best=0.0, low=0.0, high=0.0)


def _sensor_delay(lags_s: NDArray[np.float64], total: Delay) -> DelayRange:
    """Return the age of messages, given as [low, best, high], or zero for another clock."""
    low, best, high = (float(lag_s) for lag_s in lags_s)
    if low < -CLOCK_TOLERANCE_S or best > total.high_s + CLOCK_TOLERANCE_S:
        return NO_DELAY  # negative, or longer than the total: the stamps are from another clock
    return _rounded(max(0.0, best), max(0.0, low), max(0.0, high))


def _rounded(best_s: float, low_s: float, high_s: float) -> DelayRange:
    best, low, high = (round(value_s, 4) for value_s in (best_s, low_s, high_s))
    return DelayRange(best=best, low=low, high=high)


def main(arguments: list[str]) -> int:
    """Write the delays of the recording IN to the YAML file OUT, remove IN, print one line."""
    source, target = map(Path, arguments)
    os.nice(NICENESS)
    try:
        measured = measure_delays(source)
        replace_text(target, delays_text(measured))
    except (InputError, OSError) as error:
        print(f"delay: not measured: {error}")
        return 2
    finally:
        source.unlink(missing_ok=True)
    command, sensor = measured.command_delay_s, measured.sensor_delay_s
    print(
        f"delay: command {1e3 * command.best:.0f} ms ({1e3 * command.low:.0f} to"
        f" {1e3 * command.high:.0f}), sensor {1e3 * sensor.best:.1f} ms ({1e3 * sensor.low:.1f} to"
        f" {1e3 * sensor.high:.1f}); wrote {target}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
