"""Progress bars: what they say, whom they are shown to, and what they leave behind."""

from __future__ import annotations

import inspect
import os
import pty
import subprocess
import sys
import textwrap
from io import StringIO

import nbformat
import pytest
from nbclient import NotebookClient
from rich.console import Console

import hrrr_dask
from hrrr_dask.display.bars import count_bar, run_bar
from hrrr_dask.display.progress import Progress
from hrrr_dask.display.watching import accept_show, show_count, show_run
from hrrr_dask.errors import ConfigError

HIDE_CURSOR, SHOW_CURSOR, ERASE_LINE = "\x1b[?25l", "\x1b[?25h", "\x1b[2K"


def test_progress_is_silent_until_the_first_file():
    console = Console(file=StringIO(), width=160)
    with run_bar(console):
        pass
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]


def test_the_page_of_the_run_is_linked_once_if_there_is_one():
    console = Console(file=StringIO(), width=160)
    with run_bar(console) as show:
        for _ in range(2):
            show(Progress(files_total=1, dashboard="http://h:8787/status", page="http://h:8787/hrrr"))
    assert console.file.getvalue().count("What is slow, what it costs: http://h:8787/hrrr") == 1  # type: ignore[attr-defined]


def test_progress_counts_files_bytes_and_gaps():
    console = Console(file=StringIO(), width=200, force_terminal=True)
    progress = Progress(files_total=10, dashboard="http://127.0.0.1:8787/status")
    with run_bar(console) as show:
        show(progress)
        progress.files_done, progress.gaps, progress.bytes_read = 4, 7, 5_000_000
        show(progress)
        progress.interrupted = progress.draining = True
        show(progress)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("Dask dashboard") == 1
    assert "http://127.0.0.1:8787/status" in text
    assert "4/10" in text
    assert "7 values missing" in text
    assert "MB/s" in text
    assert "committing what is read" in text


def test_progress_prints_once_what_the_run_waits_for_also_where_no_line_is_drawn():
    console = Console(file=StringIO(), width=40)
    progress = Progress(files_total=10, waiting=True, notice="no worker is connected to [the] scheduler, for a while")
    with run_bar(console) as show:
        show(progress)
        show(progress)
        progress.waiting, progress.notice = False, ""
        show(progress)
        text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.splitlines() == ["no worker is connected to [the] scheduler, for a while", "the run continues"]


def test_an_interrupt_with_nothing_to_commit_claims_no_commit():
    console = Console(file=StringIO(), width=200, force_terminal=True)
    progress = Progress(files_total=2, waiting=True)
    with run_bar(console) as show:
        show(progress)
        progress.interrupted = True
        show(progress)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "interrupted" in text
    assert "committing" not in text


def test_progress_without_a_dashboard_does_not_name_one():
    console = Console(file=StringIO(), width=160)
    with run_bar(console) as show:
        show(Progress(files_total=1))
    assert "dashboard" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_names_with_brackets_are_shown_as_they_are():
    console = Console(file=StringIO(), width=200, force_terminal=True)
    with run_bar(console) as show:
        show(Progress(files_total=1, dashboard="http://h/[/x]", sources_down={"/data/[/hrrr]": "it is away"}))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "http://h/[/x]" in text
    assert "files (/data/[/hrrr] down)" in text


def test_a_count_appears_with_the_first_call_and_is_erased():
    console = Console(file=StringIO(), force_terminal=True, width=80)
    with count_bar("files", console):
        pass
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]
    with count_bar("files", console) as show:
        show(1, 2)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "1/2" in text
    assert text.endswith(ERASE_LINE)


def run_at_terminal(code: str) -> tuple[int, str]:
    """Run Python with a pseudo-terminal as stderr; returns its exit code and what the terminal got."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("TERM", "NO_COLOR", "FORCE_COLOR")}
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**environment, "TERM": "xterm-256color", "COLUMNS": "120"},
    )
    os.close(theirs)
    got = b""
    try:
        while part := os.read(ours, 65536):
            got += part
    except OSError:  # Linux: the other end is closed
        pass
    os.close(ours)
    return child.wait(timeout=60), got.decode()


RUN = """
    import sys
    from hrrr_dask.display.progress import Progress
    from hrrr_dask.display.watching import show_run
    with show_run({progress}) as show:
        if show is not None:
            progress = Progress(files_total=10, dashboard="http://127.0.0.1:8787/status")
            show(progress)
            progress.files_done = 4
            show(progress)
        {then}
"""


def test_at_a_terminal_the_bar_and_the_dashboard_are_shown_by_default():
    code, text = run_at_terminal(RUN.format(progress=None, then="pass"))
    assert code == 0
    assert "Dask dashboard: " in text
    assert "http://127.0.0.1:8787/status" in text
    assert "4/10" in text
    assert text.rindex(SHOW_CURSOR) > text.rindex(HIDE_CURSOR)


def test_at_a_terminal_false_shows_nothing():
    assert run_at_terminal(RUN.format(progress=False, then="pass")) == (0, "")


@pytest.mark.parametrize("failure", ["raise ValueError('enough')", "raise KeyboardInterrupt", "sys.exit(3)"])
def test_a_failure_leaves_the_terminal_with_its_cursor(failure):
    code, text = run_at_terminal(RUN.format(progress=None, then=failure))
    assert code != 0
    assert text.count(HIDE_CURSOR) == text.count(SHOW_CURSOR) == 1
    assert text.rindex(SHOW_CURSOR) > text.rindex(HIDE_CURSOR)


def test_a_failure_of_a_count_leaves_the_terminal_with_its_cursor():
    code, text = run_at_terminal(
        """
        from hrrr_dask.display.watching import show_count
        with show_count(None, "files") as show:
            show(1, 2)
            raise ValueError("enough")
        """
    )
    assert code == 1
    assert "1/2" in text
    assert text.rindex(SHOW_CURSOR) > text.rindex(HIDE_CURSOR)


@pytest.mark.parametrize("progress", [None, False])
def test_a_script_without_a_terminal_shows_nothing_and_loads_no_rich(progress):
    code = RUN.format(progress=progress, then="assert show is None and 'rich' not in sys.modules")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_true_writes_the_lines_and_the_last_state_where_there_is_no_terminal():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RUN.format(progress=True, then="pass"))],
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if name != "FORCE_COLOR"} | {"COLUMNS": "120"},
        timeout=60,
    )
    first, *rest = done.stderr.splitlines()
    assert first == "Dask dashboard: http://127.0.0.1:8787/status"
    assert done.stderr.count("4/10") == 1
    assert "\x1b" not in done.stderr
    assert len([line for line in rest if line]) == 1


def test_a_stderr_that_is_closed_is_no_terminal(monkeypatch):
    closed = StringIO()
    closed.close()
    for stderr in (None, closed):
        monkeypatch.setattr(sys, "stderr", stderr)
        with show_run(None) as show:
            assert show is None


def test_a_callable_is_called_instead_of_a_bar():
    seen: list[object] = []
    with show_run(seen.append) as show:
        assert show is not None
        show(progress := Progress(files_total=1))
    with show_count(lambda done, total: seen.append((done, total)), "files") as count:
        count(1, 2)
    assert seen == [progress, (1, 2)]


def test_progress_that_is_neither_is_refused():
    with pytest.raises(ConfigError, match="progress is True, False, None or a function, not 'yes'"), show_run("yes"):  # type: ignore[arg-type]
        pass


@pytest.mark.parametrize(
    "name", ["backfill", "update", "add_points", "add_variables", "assess", "verify", "verify_checksums"]
)
def test_what_takes_long_takes_progress_and_shows_it_by_default_to_people(name):
    parameter = inspect.signature(getattr(hrrr_dask, name)).parameters["progress"]
    assert (parameter.default, parameter.kind) == (None, parameter.KEYWORD_ONLY)


def test_the_former_name_of_progress_is_accepted():
    @accept_show
    def function(store: str, *, progress: object = None) -> object:
        """Say what arrived."""
        return store, progress

    assert function("s", show=max) == ("s", max)  # type: ignore[call-arg]
    assert function("s", progress=False) == ("s", False)
    with pytest.raises(TypeError, match="show"):
        function("s", progress=max, show=min)  # type: ignore[call-arg]


NOTEBOOK = """
import threading, time
from hrrr_dask.display.progress import Progress
from hrrr_dask.display.watching import show_count, show_run
progress = Progress(files_total=10, dashboard="http://h/?a='<b>&c")
with show_run(None) as show:
    thread = threading.Thread(target=show, args=(progress,))  # as from Dask's event loop
    thread.start()
    thread.join()
    print("a line of the user's")
    time.sleep(1.2)
    progress.notice = "<script>alert(1)</script> is away"
    show(progress)
    progress.files_done = 10
    show(progress)
"""


def execute(*cells: str, allow_errors: bool = False) -> list[list[nbformat.NotebookNode]]:
    """Run cells as a notebook; returns their outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3", timeout=60, allow_errors=allow_errors).execute()
    return [cell.outputs for cell in notebook.cells]


def test_a_notebook_keeps_one_line_of_the_bar_and_the_notices():
    shown, counted, silent = execute(
        NOTEBOOK,
        "with show_count(None, 'files') as show:\n    show(20, 20)",
        "with show_run(False) as show:\n    assert show is None",
    )
    assert silent == []
    assert sorted(output.output_type for output in shown) == ["display_data", "stream"]
    (printed,) = (output.text for output in shown if output.output_type == "stream")
    assert printed == "a line of the user's\n"
    (data,) = (output.data for output in shown if output.output_type == "display_data")
    assert "widget" not in str(data)
    notice, bar = data["text/plain"].splitlines()
    assert notice == "<script>alert(1)</script> is away"
    assert "10/10 100%" in bar
    assert "<div>&lt;script&gt;alert(1)&lt;/script&gt; is away</div>" in data["text/html"]
    assert "dashboard" not in data["text/html"], "it ends with its cluster"
    ((count,),) = (counted,)
    assert "20/20" in count.data["text/plain"]
    assert len(count.data["text/plain"].splitlines()) == 1


def test_while_a_run_lasts_a_notebook_links_the_dashboard_and_escapes_it():
    code = """
    from IPython.display import display
    import hrrr_dask.display.bars as bars
    with bars.run_bar(notebook=True) as show:
        show(progress)
        print(show._bar.live._handle is not None)
        print(bars._Picture(show._bar, show._place.lines, is_running=True)._repr_html_())
    """
    _, outputs = execute(NOTEBOOK.partition("with")[0], textwrap.dedent(code))
    (printed,) = (output.text for output in outputs if output.output_type == "stream")
    started, html = printed.split("\n", 1)
    assert started == "True"
    assert '<a href="http://h/?a=&#x27;&lt;b&gt;&amp;c" target="_blank" rel="noopener">' in html


def test_a_failure_in_a_notebook_leaves_the_bar_where_it_stopped():
    code = NOTEBOOK.replace("files_done = 10", "files_done = 4") + "    raise ValueError('enough')\n"
    shown, after = execute(code, "print('next')", allow_errors=True)
    kinds = {output.output_type: output for output in shown}
    assert set(kinds) == {"display_data", "error", "stream"}
    assert kinds["error"].ename == "ValueError"
    assert "4/10" in kinds["display_data"].data["text/plain"]
    assert [output.text for output in after] == ["next\n"]
