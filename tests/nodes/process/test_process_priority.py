import subprocess
import sys

import pytest

SHOW = """
import os
from pathlib import Path
from sac_ros.nodes.process.process_priority import lower_priority
before = os.nice(0)
lower_priority(7)
autogroup = Path("/proc/self/autogroup")
print(os.nice(0) - before, autogroup.read_text() if autogroup.exists() else "none")
"""


@pytest.mark.parametrize("is_alone", [True, False])
def test_process_gives_way_in_its_session_and_a_session_of_its_own_to_others(
    is_alone: bool,
) -> None:
    by, *autogroup = subprocess.run(
        [sys.executable, "-c", SHOW],
        start_new_session=is_alone,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert int(by) > 0
    if autogroup != ["none"]:  # the file is empty for a process that stands in no autogroup
        assert (autogroup[-1:] == ["7"]) is is_alone
