"""The test session's own promises, kept by sessions inside the session."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFTEST = ROOT / "tests" / "conftest.py"
SKIPPED_FILE = "import pytest\n\npytest.skip('no ROS 2', allow_module_level=True)\n"
SKIPPED_TEST = "import pytest\n\ndef test_skips():\n    pytest.skip('no ROS 2')\n"
PASSING_TEST = "def test_passes():\n    pass\n"


def run_session(
    folder: Path, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run pytest with our conftest on the test files in folder/tests."""
    shutil.copy(CONFTEST, folder / "tests")
    (folder / "pytest.ini").touch()
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-s", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SAC_ROS_REQUIRE_ROS": "0", **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tests" / "package").mkdir(parents=True)
    (tmp_path / "tests" / "test_passing.py").write_text(PASSING_TEST)
    return tmp_path


@pytest.mark.ros
@pytest.mark.parametrize(
    ("skipped_file", "required", "exit_status"),
    [
        ("test_node.py", "1", pytest.ExitCode.TESTS_FAILED),
        ("test_node.py", "0", pytest.ExitCode.OK),
        ("package/test_launch_files.py", "1", pytest.ExitCode.OK),
    ],
)
def test_a_skipped_test_fails_the_session_where_ros_is_required(
    folder: Path, skipped_file: str, required: str, exit_status: int
) -> None:
    (folder / "tests" / skipped_file).write_text(SKIPPED_FILE)

    session = run_session(folder, SAC_ROS_REQUIRE_ROS=required)

    assert session.returncode == exit_status, session.stdout
    assert ("this run fails" in session.stdout) == (exit_status != 0)


@pytest.mark.ros
@pytest.mark.parametrize("skipped", [SKIPPED_FILE, SKIPPED_TEST])
def test_a_test_skipped_by_a_worker_fails_the_session_too(folder: Path, skipped: str) -> None:
    (folder / "tests" / "test_node.py").write_text(skipped)

    session = run_session(folder, "-n", "2", SAC_ROS_REQUIRE_ROS="1")

    assert session.returncode == pytest.ExitCode.TESTS_FAILED, session.stdout
    assert "this run fails" in session.stdout


def test_a_missing_rclpy_is_an_error_where_ros_is_required(folder: Path) -> None:
    (folder / "rclpy.py").write_text("raise ImportError('no such package')\n")

    session = run_session(folder, SAC_ROS_REQUIRE_ROS="1")

    assert session.returncode == pytest.ExitCode.USAGE_ERROR
    assert "rclpy cannot be imported: no such package" in session.stderr


def test_sessions_at_the_same_time_have_domains_of_their_own(folder: Path) -> None:
    (folder / "tests" / "test_domain.py").write_text(
        "import os\n\ndef test_domain():\n    print('DOMAIN', os.environ['ROS_DOMAIN_ID'], 'END')\n"
    )
    # This session holds its own domain meanwhile.
    inner = run_session(folder).stdout.partition("DOMAIN ")[2].partition(" END")[0]

    assert 1 <= int(inner) <= 60
    assert inner != os.environ["ROS_DOMAIN_ID"]


def test_workers_of_one_session_have_domains_and_logs_of_their_own(folder: Path) -> None:
    (folder / "tests" / "test_domain.py").write_text(
        "import os\nfrom pathlib import Path\n\ndef test_domain():\n"
        "    names = ('ROS_DOMAIN_ID', 'ROS_LOG_DIR')\n"
        "    told = Path(os.environ['PYTEST_XDIST_WORKER'])\n"
        "    told.write_text('\\n'.join(os.environ[name] for name in names))\n"
    )

    session = run_session(folder, "-n", "2", "--dist", "each")

    assert session.returncode == pytest.ExitCode.OK, session.stdout
    (domain, logs), (other_domain, other_logs) = (
        (folder / worker).read_text().split("\n") for worker in ("gw0", "gw1")
    )
    assert domain != other_domain and logs != other_logs
