"""Whatever goes wrong in a stage, only a coded error comes out: nothing that could quote a record."""

from __future__ import annotations

import gc
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from linkage_core.errors import NightlinkError
from tasks.protocol import stages
from tasks.protocol.stages import announce, coded_errors_only, inside_flow_run, peak_memory_mib, stage

PLANTED = "Zaphod Beeblebrox"


def _coded(code: str = "E-INPUT") -> NightlinkError:
    return NightlinkError(code, found="1 row", expected="2 rows", remedy="Look.")


def _failure_of(function) -> NightlinkError:  # noqa: ANN001
    with pytest.raises(NightlinkError) as caught:
        function()
    return caught.value


def test_a_result_and_the_arguments_pass_through() -> None:
    @stage("add two numbers")
    def add(a: int, b: int = 1) -> int:
        """Docs."""
        return a + b

    assert add(1, b=2) == 3
    assert (add.__name__, add.__doc__) == ("add", "Docs.")


def test_a_coded_error_passes_without_cause_context_or_frames() -> None:
    @coded_errors_only
    def fail() -> None:
        try:
            raise ValueError(PLANTED)
        except ValueError as error:
            raise _coded() from error

    error = _failure_of(fail)
    assert error.code == "E-INPUT"
    assert error.__cause__ is None and error.__context__ is None


def test_an_unforeseen_error_keeps_its_type_and_place_and_loses_its_message() -> None:
    @coded_errors_only
    def fail() -> None:
        raise ValueError(f"could not convert {PLANTED}")

    error = _failure_of(fail)
    assert error.code == "E-INTERNAL"
    assert "ValueError" in str(error) and "test_stages.py, line" in str(error)
    assert error.__cause__ is None and error.__context__ is None


def test_a_refused_file_is_told_with_its_path_and_the_systems_word(tmp_path: Path) -> None:
    missing = tmp_path / "state" / "last_sequence"
    error = _failure_of(coded_errors_only(missing.read_bytes))
    assert error.code == "E-FILE"
    assert f"{missing}: No such file or directory (stages.py, line" in str(error)
    assert error.__cause__ is None and error.__context__ is None


def test_a_full_disk_is_no_unforeseen_error() -> None:
    @coded_errors_only
    def fill() -> None:
        with open("/dev/full", "wb") as file:
            file.write(PLANTED.encode())

    error = _failure_of(fill)
    assert error.code == "E-FILE"
    assert "found a file: No space left on device (test_stages.py, line" in str(error) and PLANTED not in str(
        error
    )


def test_a_lost_connection_is_no_file() -> None:
    failing = coded_errors_only(lambda: (_ for _ in ()).throw(ConnectionResetError(104, PLANTED)))
    assert _failure_of(failing).code == "E-INTERNAL"


def test_no_frame_of_the_failed_function_stays_reachable() -> None:
    """Prefect pickles and prints tracebacks; a frame would hold the record in a local variable."""

    @coded_errors_only
    def fail(record: str) -> None:
        raise KeyError(record)

    error = _failure_of(lambda: fail(PLANTED))
    functions = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert "fail" not in functions, functions
    written = "".join(traceback.format_exception(error))
    assert PLANTED not in written and "During handling" not in written and "direct cause" not in written


def test_an_error_raised_while_another_is_handled_takes_nothing_of_it_along() -> None:
    failing = coded_errors_only(lambda: (_ for _ in ()).throw(ValueError(PLANTED)))

    def outer() -> None:
        try:
            raise KeyError(PLANTED)
        except KeyError:
            failing()

    assert PLANTED not in str(_failure_of(outer))


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_an_end_that_somebody_asked_for_is_not_an_error(ending: type[BaseException]) -> None:
    @coded_errors_only
    def fail() -> None:
        raise ending

    with pytest.raises(ending):
        fail()


def test_a_stage_tells_its_start_and_end_and_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    stage("count rows")(lambda: None)()
    _failure_of(stage("lose rows")(lambda: (_ for _ in ()).throw(ValueError(PLANTED))))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "count rows started"
    assert lines[1].startswith("count rows finished in ") and lines[1].endswith(" MiB")
    assert lines[2:] == ["lose rows started", "lose rows failed E-INTERNAL"]


def test_outside_a_flow_run_a_stage_is_a_plain_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_as_prefect_task", lambda *_: pytest.fail("a task was made"))
    assert stage("plain")(lambda: 7)() == 7


def test_inside_a_flow_run_a_stage_is_one_prefect_task(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def as_task(name: str, function):  # noqa: ANN001, ANN202
        made.append(name)
        return function

    monkeypatch.setattr(stages, "inside_flow_run", lambda: True)
    monkeypatch.setattr(stages, "_as_prefect_task", as_task)
    monkeypatch.setattr(stages, "announce", lambda line: None)
    double = stage("double")(lambda x: 2 * x)
    assert (double(2), double(3)) == (4, 6)
    assert made == ["double"], "made once, at its first call"


def test_announcing_where_prefect_was_never_loaded_loads_it_not() -> None:
    code = (
        "import sys; from tasks.protocol.stages import announce, inside_flow_run; announce('rows: 3');"
        "assert not inside_flow_run(); assert 'prefect' not in sys.modules"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (outcome.returncode, outcome.stderr) == (0, "rows: 3\n")


def test_peak_memory_is_a_plausible_number_of_mib() -> None:
    assert 10 < peak_memory_mib() < 64 * 1024


def test_a_loaded_prefect_without_a_run_is_no_flow_run(capsys: pytest.CaptureFixture[str]) -> None:
    import prefect

    assert prefect and not inside_flow_run()
    announce("outside")
    assert capsys.readouterr().err == "outside\n"
    gc.collect()


def test_a_value_that_was_taken_for_a_file_is_withheld() -> None:
    def opens_a_value() -> None:
        Path(PLANTED).read_bytes()

    with pytest.raises(NightlinkError) as caught:
        coded_errors_only(opens_a_value)()
    assert caught.value.code == "E-FILE" and PLANTED not in str(caught.value)
