"""Rules for all tests: no network but loopback, no skip but for a missing GPU."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

collect_ignore = ["peers/instrumentors"]  # in an environment of its own: `make test-peers`


class _PatientSys:
    """`sys` for the module threading: a trace function is installed even if another just is.

    Two threads that start at once under coverage make CPython 3.11 refuse one of them, and that
    thread never runs.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)

    @staticmethod
    def settrace(function: Any) -> None:
        for _ in range(1000):
            try:
                return sys.settrace(function)
            except RuntimeError:
                time.sleep(0.001)
        return sys.settrace(function)


if sys.version_info < (3, 12):
    threading._sys = _PatientSys()  # type: ignore[attr-defined]  # there is no public place

_LOOPBACK = ("127.", "::1", "localhost")
_ALLOWED_SKIP = "no GPU"


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect":
        return
    address = arguments[1]
    if isinstance(address, tuple) and not str(address[0]).startswith(_LOOPBACK):
        message = f"tests reach loopback only, not {address}"
        raise PermissionError(message)


sys.addaudithook(_refuse_network)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting of the machine reaches a test, and none of a test the next."""
    import os  # noqa: PLC0415 - beside its only use

    from cert_otel import config  # noqa: PLC0415 - after the hook

    for name in list(os.environ):
        if name.startswith(("CERT_OTEL_", "OTEL_", "OPENAI_", "AZURE_OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", os.devnull)  # no table of prices that a user installed
    config.reset()
    yield
    config.reset()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name the skips that are not allowed."""
    for report in _forbidden_skips(terminalreporter):
        terminalreporter.write_line(f"forbidden skip: {report.nodeid}: {report.longrepr}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run that skipped a test for another reason than a missing GPU."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and exitstatus == 0 and _forbidden_skips(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _forbidden_skips(reporter: Any) -> list[Any]:
    skipped = reporter.stats.get("skipped", [])
    return [report for report in skipped if _ALLOWED_SKIP not in str(report.longrepr)]
