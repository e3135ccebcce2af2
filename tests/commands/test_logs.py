"""What is logged, and what never is."""

import json

import pytest
import structlog

from tollkeeper.commands.logs import configure_logs


def test_a_traceback_in_the_log_holds_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    configure_logs("info")
    try:
        _fail_with("hunter2")
    except ZeroDivisionError as error:
        structlog.get_logger().error("request_failed", exc_info=error)
    finally:
        structlog.configure(**before)
    line = json.loads(capsys.readouterr().err)
    assert line["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert "hunter2" not in json.dumps(line)


def _fail_with(password: str) -> float:
    return len(password) / 0
