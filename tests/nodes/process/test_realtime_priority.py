"""In processes of their own, because a priority stays."""

import json
import subprocess
import sys

TAKE = """
import json, os, resource, sys, threading
from sac_ros.nodes.process.realtime_priority import RealtimeError, take_realtime_priority

def is_allowed():
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True

os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
if sys.argv[1] == "without the right":
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    if os.geteuid() == 0:
        os.setuid(65534)
end = threading.Event()
other = threading.Thread(target=end.wait)
other.start()
shown = {"is_allowed": is_allowed()}
try:
    take_realtime_priority(30)
except RealtimeError as error:
    shown["refusal"] = str(error)
else:
    threads = (threading.main_thread(), other)
    shown["policies"] = [os.sched_getscheduler(t.native_id) == os.SCHED_FIFO for t in threads]
    shown["levels"] = [os.sched_getparam(t.native_id).sched_priority for t in threads]
end.set()
print(json.dumps(shown))
"""


def take(how: str) -> dict[str, object]:
    shown: dict[str, object] = json.loads(
        subprocess.run(
            [sys.executable, "-c", TAKE, how], capture_output=True, text=True, check=True
        ).stdout
    )
    return shown


def test_main_thread_stands_before_all_others_and_they_before_other_processes() -> None:
    shown = take("as we are")
    if shown["is_allowed"]:
        assert shown["policies"] == [True, True] and shown["levels"] == [30, 29]
    else:
        assert "rtprio" in str(shown["refusal"])


def test_who_lacks_the_right_is_told_how_to_get_it() -> None:
    shown = take("without the right")
    assert not shown["is_allowed"]
    assert "realtime_priority 30 is not allowed" in str(shown["refusal"])
    assert "rtprio" in str(shown["refusal"])
