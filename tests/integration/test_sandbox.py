"""The sandbox: what a submission does, seen from outside. Each test runs for real, with and without namespaces."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from autograder.course import Course
from autograder.grade import doctor, sandbox
from autograder.grade.children import Forking
from autograder.grade.master import load_masters, modules
from autograder.grade.model import CellRun, Limits
from autograder.grade.outputs import CUT
from autograder.grade.run import Step, run_cells
from autograder.grade.sandbox import Protection, protection
from autograder.lesson.guide import load_guide

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can keep processes apart")

HERE = protection() if sys.platform == "linux" else Protection(False)
# What remains where namespaces are refused.
BARE = replace(HERE, namespaces=False, refused="for a test", user=None)
LIMITS = Limits(cell=8, grace=2, memory=512 << 20, processes=64, file_size=32 << 20, disk=64 << 20, cell_output=10_000)

isolated = pytest.mark.skipif(not HERE.namespaces, reason=f"this system refuses namespaces: {HERE.refused}")
landlocked = pytest.mark.skipif(not HERE.landlock, reason="this kernel has no Landlock")


@pytest.fixture(scope="module")
def apart() -> Iterator[Forking]:
    """Children in namespaces."""
    launcher = Forking(LIMITS, HERE)
    yield launcher
    launcher.close()


@pytest.fixture(scope="module")
def bare() -> Iterator[Forking]:
    """Children where namespaces are refused."""
    launcher = Forking(LIMITS, BARE)
    yield launcher
    launcher.close()


@pytest.fixture(params=[pytest.param("apart", marks=isolated), "bare"])
def either(request: pytest.FixtureRequest) -> Forking:
    """Both."""
    launcher: Forking = request.getfixturevalue(request.param)
    return launcher


def said(run: CellRun) -> str:
    """Return what a cell printed, or its fault, or its error."""
    return run.fault or "".join(str(output.get("text", output.get("ename", ""))) for output in run.outputs)


def run(launcher: Forking, *sources: str, limits: Limits = LIMITS) -> list[str]:
    """Run cells of a notebook; return what each said."""
    return [said(each) for each in run_cells([Step(source) for source in sources], launcher, limits)]


def alive(mark: str) -> list[int]:
    """Return the processes of this machine with `mark` in their command line that aren't dying."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdecimal() and mark in (process / "cmdline").read_text():
                state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                found += [int(process.name)] if state not in "ZX" else []
    return found


# --- faults cost their own cell alone ---


FAULTS = {
    "an endless loop": "while True: pass",
    "one that swallows every interrupt": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    ),
    "a memory bomb": "x = bytearray(1 << 40)",
    "a memory bomb that is used": "x = []\nwhile True: x.append(bytearray(1 << 24))",
    "os._exit": "import os; os._exit(0)",
    "a crash": "import ctypes; ctypes.string_at(0)",
    "its own end": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "its own stop": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "exit()": "exit()",
    "input()": "input()",
    "a flood of lines": "while True: print('x' * 1000)",
    "a flood past Python": "import os\nwhile True: os.write(1, b'x' * 100_000)",
    "a large output": "print('x' * 100_000_000)",
    "a large file": "with open('f', 'wb') as f:\n    while True: f.write(bytes(1 << 20))",
    "many files": "n = 0\nwhile True:\n    open(f'{n}', 'wb').write(bytes(20 << 20)); n += 1",
    "a fork that goes on": "import os; os.fork()",
    "a fork bomb": "import os\nwhile True: os.fork()",
    "a fork bomb that holds on": (
        "import os, time\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(0.1)"
    ),
    "a thread that never ends": (
        "import threading, time\nthreading.Thread(target=lambda: [time.sleep(1) for _ in range(10**6)]).start()"
    ),
    "a daemon": "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)",
    "a closed connection": "import os; os.closerange(3, 500)",
    "words of its own on the connection": (
        "import os, stat\n"
        "for n in range(3, 60):\n"
        "    try:\n"
        "        if stat.S_ISSOCK(os.fstat(n).st_mode): os.write(n, b'\\xff' * 100)\n"
        "    except OSError: pass"
    ),
}
QUICK = replace(LIMITS, cell=1, grace=0.5)


@isolated
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_costs_its_own_cell_alone(apart: Forking, name: str) -> None:
    first, culprit, third = run(apart, "before = 1; print(before)", FAULTS[name], "print(before + 1)", limits=QUICK)
    assert (first, third) == ("1\n", "2\n")
    assert len(culprit) <= LIMITS.cell_output


@pytest.mark.parametrize(
    "name",
    ["one that swallows every interrupt", "a memory bomb", "os._exit", "a crash", "a large output", "a large file"],
)
def test_without_namespaces_a_fault_costs_its_own_cell_too(bare: Forking, name: str) -> None:
    first, _, third = run(bare, "before = 1; print(before)", FAULTS[name], "print(before + 1)", limits=QUICK)
    assert (first, third) == ("1\n", "2\n")


def test_memory_is_limited_and_the_notebook_goes_on(either: Forking) -> None:
    assert run(either, "x = bytearray(4 << 30)", "print(1)") == ["MemoryError", "1\n"]


@isolated
def test_processes_are_limited_together_in_memory(apart: Forking) -> None:
    greedy = (
        "import os, time\n"
        "for _ in range(4):\n"
        "    if os.fork() == 0:\n"
        "        x = bytearray(b'x') * (300 << 20)\n"
        "        time.sleep(60)\n"
        "time.sleep(60)"
    )
    culprit, after = run(apart, greedy, "print(1)")
    assert "memory" in culprit
    assert after == "1\n"


@isolated
def test_processes_are_limited_in_number(apart: Forking) -> None:
    count = (
        "import subprocess\nstarted = []\ntry:\n    while True: started.append(subprocess.Popen(['sleep', '60']))\n"
        "except OSError: pass\nprint(20 < len(started) < 65)\nfor each in started: each.kill(); each.wait()"
    )
    assert run(apart, count) == ["True\n"]


@isolated
def test_a_cell_that_leaves_most_of_them_is_told_and_those_after_it_have_theirs(apart: Forking) -> None:
    leave = "import subprocess\nstarted = [subprocess.Popen(['sleep', '60']) for _ in range(40)]"
    start = "import subprocess\nprint(len([subprocess.run(['true']) for _ in range(3)]))"
    culprit, after = run(apart, leave, start)
    assert "processes" in culprit
    assert after == "3\n"


def test_files_are_limited(either: Forking) -> None:
    (text,) = run(either, "try:\n    open('f', 'wb').write(bytes(64 << 20))\nexcept OSError as e: print('refused')")
    assert text == "refused\n"


def test_a_notebook_is_limited_in_time(either: Forking) -> None:
    run(either, "1")  # so that no time goes by for getting ready
    texts = run(either, *["import time\ntime.sleep(0.3)"] * 30, limits=replace(LIMITS, notebook=3))
    assert texts[0] == ""
    assert "notebook took more than 3 seconds" in texts[-1]


@pytest.mark.parametrize(
    "source",
    [
        "print('x' * 20_000)",
        "import os; os.write(1, b'x' * 20_000)",
        "from IPython.display import HTML, display; display(HTML('x' * 20_000))",
        "for _ in range(5000): display('xxxx')",
        "raise ValueError('x' * 60_000)",
    ],
)
def test_output_is_cut_and_says_where(bare: Forking, source: str) -> None:
    first, second = run_cells([Step(source), Step("print(1)")], bare, LIMITS)
    assert any(CUT in output.get("text", "") for output in first.outputs)
    assert len(str(first.outputs)) < 100_000
    assert said(second) == "1\n"


def test_a_notebooks_output_is_cut_too(bare: Forking) -> None:
    limits = replace(LIMITS, notebook_output=20_000)
    runs = run_cells([Step("print('x' * 9000)")] * 4, bare, limits)
    assert [CUT in said(each) for each in runs] == [False, False, True, True]


def test_an_error_after_the_cut_is_still_there(bare: Forking) -> None:
    (only,) = run_cells([Step("print('x' * 20_000)\nassert False, 'wrong'")], bare, LIMITS)
    assert only.outputs[-1]["evalue"] == "wrong"


# --- nothing is left, and nobody else is reached ---


@pytest.mark.parametrize("way", ["plain", "session", "daemon"])
def test_what_it_started_is_dead_when_it_is_done(either: Forking, way: str) -> None:
    mark = f"mark-{uuid.uuid4()}"
    command = [sys.executable, "-c", "import time; time.sleep(600)", mark]
    sources = {
        "plain": f"import subprocess; subprocess.Popen({command})",
        "session": f"import subprocess; subprocess.Popen({command}, start_new_session=True)",
        # It forks twice, so that nobody knows any more whose it is.
        "daemon": (
            f"import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
            f"        os.execv({command[0]!r}, {command})\n    os._exit(0)\nos.wait()"
        ),
    }
    seen = (
        f"import pathlib, time\ndeadline = time.time() + 6\nfound = 0\n"
        f"while not found and time.time() < deadline:\n"
        f"    for p in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
        f"        try: found += {mark!r} in p.read_text()\n        except OSError: pass\n"
        f"print(found > 0)"
    )
    assert run(either, sources[way], seen)[1] == "True\n"
    assert alive(mark) == []


def test_nothing_is_left_when_the_launcher_is_killed(tmp_path: Path) -> None:
    mark = f"mark-{uuid.uuid4()}"
    inner = f"import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)', {mark!r}])"
    script = tmp_path / "grade.py"
    script.write_text(
        "from autograder.grade.children import Forking\n"
        "from autograder.grade.model import Limits\n"
        "from autograder.grade.run import Step, run_cells\n"
        f"run_cells([Step({inner!r})], Forking(), Limits())\n"
    )
    grader = subprocess.Popen([sys.executable, str(script)])
    wait_until(lambda: alive(mark))
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    wait_until(lambda: not alive(mark))


@isolated
def test_nothing_is_left_when_the_template_is_killed_and_grading_goes_on() -> None:
    mark = f"mark-{uuid.uuid4()}"
    command = [sys.executable, "-c", "import time; time.sleep(600)", mark]
    launcher = Forking(LIMITS, HERE)
    with contextlib.closing(launcher), ThreadPoolExecutor() as threads:
        running = threads.submit(run, launcher, f"import subprocess; subprocess.run({command})", "print(1)")
        wait_until(lambda: alive(mark))
        assert launcher._template
        launcher._template.kill()
        assert running.result()[1] == "1\n"
        assert not alive(mark)


def wait_until(condition: object) -> None:
    """Wait until a condition holds."""
    assert callable(condition)
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


KILL_EVERYBODY = """
import os, signal
killed = []
for pid in [os.getppid(), -1, *(int(p) for p in os.listdir('/proc') if p.isdecimal())]:
    if pid not in (os.getpid(), {spared}):
        try:
            os.kill(pid, {signal})
            killed.append(pid)
        except OSError: pass
print(killed)
"""


@isolated
def test_the_template_is_out_of_reach(apart: Forking) -> None:
    run(apart, "1")
    template = apart._template
    assert template
    run(apart, KILL_EVERYBODY.format(spared=0, signal=9), "import ctypes; ctypes.CDLL(None).kill(1, 9)", "print(1)")
    assert template.poll() is None
    assert apart._template is template
    # Neither has it been stopped.
    assert run(apart, "print(1)") == ["1\n"]


@pytest.mark.skipif(HERE.landlock < 6, reason="this kernel's Landlock doesn't bind signals")
def test_without_namespaces_landlock_keeps_the_template_out_of_reach(bare: Forking) -> None:
    run(bare, "1")
    template = bare._template
    assert template
    source = f"import os\ntry:\n    os.kill({template.pid}, 9)\nexcept PermissionError: print('refused')"
    assert run(bare, source) == ["refused\n"]
    assert template.poll() is None


def test_the_environment_of_the_parent_is_nowhere(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_PARENT", "hush-hush")
    source = (
        "import os, pathlib\nfound = 'hush-hush' in str(os.environ)\n"
        "for p in pathlib.Path('/proc').glob('*/environ'):\n"
        "    try: found = found or b'hush-hush' in p.read_bytes() and int(p.parent.name) in {own}\n"
        "    except (OSError, ValueError): pass\n"
        "print(found)"
    )
    for protected in (HERE, BARE):
        launcher = Forking(LIMITS, protected)
        try:
            # Without namespaces it still sees other processes of this user, this one among them.
            own = "range(10**9)" if protected.namespaces else "(os.getpid(), os.getppid())"
            assert run(launcher, source.replace("{own}", own)) == ["False\n"]
        finally:
            launcher.close()


@pytest.fixture
def secrets(course: Course, tmp_path: Path) -> list[Path]:
    """Files that no submission may read."""
    gradebook = tmp_path / "gradebook.db"
    other = tmp_path / "submitted/zoe/01_core/01_sums.ipynb"
    other.parent.mkdir(parents=True)
    for path in (gradebook, other):
        path.write_text("secret")
    solutions = [path for folder in (course.solutions, course.lessons) for path in sorted(folder.rglob("*.*"))[:3]]
    assert solutions
    return [gradebook, other, *solutions, course.root / "pyproject.toml", Path("/etc/shadow")]


@pytest.mark.parametrize("launcher", [pytest.param("apart", marks=isolated), pytest.param("bare", marks=landlocked)])
def test_the_gradebook_solutions_and_other_submissions_are_out_of_reach(
    launcher: str, secrets: list[Path], request: pytest.FixtureRequest
) -> None:
    source = (
        f"for path in {[str(path) for path in secrets]}:\n    try:\n        open(path).read(); print(path)\n"
        "    except OSError: pass"
    )
    assert run(request.getfixturevalue(launcher), source) == [""]


@pytest.mark.parametrize("launcher", [pytest.param("apart", marks=isolated), pytest.param("bare", marks=landlocked)])
def test_nothing_outside_can_be_written(launcher: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    import autograder

    folders = [tmp_path, Path("/usr/lib"), Path("/etc"), Path(sys.prefix), Path(str(autograder.__file__)).parent]
    name = f"written-{uuid.uuid4()}"
    source = (
        f"for folder in {[str(folder) for folder in folders]}:\n    try:\n"
        f"        open(folder + '/{name}', 'w'); print(folder)\n    except OSError: pass"
    )
    assert run(request.getfixturevalue(launcher), source) == [""]
    assert not any((folder / name).exists() for folder in folders)


@isolated
def test_its_files_are_gone_with_it(apart: Forking) -> None:
    name = f"left-{uuid.uuid4()}"
    source = f"for f in ('/tmp', '.', '/dev/shm', '/home'): open(f + '/{name}', 'w').write('x')"
    check = f"import os; print([os.path.exists(f + '/{name}') for f in ('/tmp', '.', '/dev/shm', '/home')])"
    assert run(apart, source, check) == ["", "[True, True, True, True]\n"]
    assert run(apart, check) == ["[False, False, False, False]\n"]
    assert not Path("/tmp", name).exists()


def test_what_lies_beside_a_notebook_can_be_read_and_imported(either: Forking) -> None:
    files = {"helper.py": b"seven = 7", "data/x.txt": b"eight"}
    (only,) = run_cells([Step("import helper; print(helper.seven, open('data/x.txt').read())")], either, LIMITS, files)
    assert said(only) == "7 eight\n"


@isolated
def test_its_home_is_empty(apart: Forking) -> None:
    source = "import os, pathlib; print(os.listdir('.'), os.listdir('/tmp'), pathlib.Path.home() == pathlib.Path.cwd())"
    # Where the environment itself is below /tmp, the way to it is there.
    shown = sorted({Path(path).parts[2] for path in sandbox.shown() if Path(path).is_relative_to("/tmp")})
    assert run(apart, source) == [f"[] {shown} True\n"]


@isolated
def test_the_network_ends_at_loopback(apart: Forking) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = server.getsockname()[1]
        source = (
            "import socket\n"
            f"for address in [('127.0.0.1', {here}), ('192.0.2.1', 80), ('1.1.1.1', 53)]:\n"
            "    try: socket.create_connection(address, 2); print(address)\n"
            "    except OSError: pass\n"
            "for family in (40, 17):\n"
            "    try: socket.socket(family, socket.SOCK_STREAM); print(family)\n"
            "    except OSError: pass\n"
            "print([name for _, name in socket.if_nameindex() if name == 'lo'])"
        )
        assert run(apart, source) == ["['lo']\n"]


@isolated
def test_it_has_no_rights_and_gets_none(apart: Forking) -> None:
    source = (
        "import ctypes, os, subprocess\nlibc = ctypes.CDLL(None)\n"
        "status = open('/proc/self/status').read()\n"
        "print('CapEff:\\t0000000000000000' in status, 'NoNewPrivs:\\t1' in status, os.getuid() != 0)\n"
        "print(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None), libc.umount2(b'/usr/bin', 2))"
    )
    assert run(apart, source) == ["True True True\n-1 -1\n"]


@isolated
@pytest.mark.skipif(not HERE.seccomp, reason="this kernel filters no calls")
def test_it_gets_no_namespaces_of_its_own_and_traces_nobody(apart: Forking) -> None:
    source = "import ctypes; c = ctypes.CDLL(None); print(c.unshare(0x10000000), c.ptrace(16, 1, 0, 0))"
    assert run(apart, source) == ["-1 -1\n"]


def test_the_next_notebook_is_untouched(either: Forking) -> None:
    spoil = (
        "import builtins, os, signal, sys\nbuiltins.print = None\nos.chdir('/')\nos.environ.clear()\nsys.path.clear()\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\nos._exit(3)"
    )
    run(either, spoil)
    assert run(either, "import string; print(1)") == ["1\n"]


# --- what lessons do works inside ---


WORKS = {
    "temporary files": (
        "import tempfile\nwith tempfile.NamedTemporaryFile('w+') as f:\n    f.write('a'); f.flush()\n"
        "    print(open(f.name).read())"
    ),
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(20) as pool:\n"
        "    print(sum(pool.map(abs, range(-3, 3))))"
    ),
    "processes": (
        "import multiprocessing\nwith multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    print(pool.map(abs, [-1, -2]))"
    ),
    "spawned processes": (
        "from concurrent.futures import ProcessPoolExecutor\nimport multiprocessing\n"
        "with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:\n"
        "    print(list(pool.map(abs, [-1, -2])))"
    ),
    "subprocesses": (
        "import subprocess, sys\n"
        "print(subprocess.run([sys.executable, '-c', 'import pytest; print(7)'], capture_output=True, text=True))"
    ),
    "programs": "!ls -d /usr",
    "a server on loopback": (
        "import http.server, threading, urllib.request\n"
        "handler = http.server.SimpleHTTPRequestHandler\nhandler.log_message = lambda *_: None\n"
        "server = http.server.ThreadingHTTPServer(('localhost', 0), handler)\n"
        "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
        "print(urllib.request.urlopen(f'http://localhost:{server.server_port}/').status)"
    ),
    "a server on a Unix socket": (
        "import asyncio\nasync def answer(r, w):\n    w.write(b'hello'); w.close()\n"
        "server = await asyncio.start_unix_server(answer, 's')\n"
        "reader, _ = await asyncio.open_unix_connection('s')\nprint(await reader.read())"
    ),
    "shared memory": (
        "from multiprocessing import shared_memory\nm = shared_memory.SharedMemory(create=True, size=100)\n"
        "print(m.size >= 100); m.close(); m.unlink()"
    ),
    "imports": "import sqlite3, ssl, zoneinfo, numbers, pytest, IPython; print(zoneinfo.ZoneInfo('UTC'))",
    "a database": (
        "import sqlite3\nwith sqlite3.connect('d.db') as db:\n    db.execute('create table t (x)')\n"
        "    print(db.execute('select count(*) from t').fetchone())\ndb.close()"
    ),
}


@pytest.mark.parametrize("name", WORKS)
def test_what_lessons_need_works(either: Forking, name: str) -> None:
    (only,) = run_cells([Step(WORKS[name])], either, replace(LIMITS, cell=30))
    assert only.fault == ""
    assert [output["output_type"] for output in only.outputs] == ["stream"], only.outputs
    assert only.outputs[0]["name"] == "stdout"


def test_what_a_lesson_imports_is_there_before_its_first_cell(course: Course) -> None:
    (entry,) = load_guide(course).select("async")
    wanted = modules(load_masters(course, [entry.id]).values())
    assert {"selectors", "autograder.notebook.figures", "ipywidgets"} <= set(wanted)
    with closing(Forking(LIMITS, HERE, wanted)) as launcher:
        assert run(launcher, f"import sys; print(set({wanted}) <= set(sys.modules))") == ["True\n"]


def test_random_numbers_differ_in_each_child(either: Forking) -> None:
    source = "import os, random, uuid; print(random.random(), uuid.uuid4())"
    assert run(either, source) != run(either, source)


# --- what is said about it ---


def test_what_is_missing_is_said_in_words() -> None:
    assert Protection(True).missing == ()
    assert "reach the network" in BARE.missing
    nothing = Protection(False)
    assert len(nothing.missing) > len(BARE.missing)


def test_doctor_says_what_is_missing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bool(doctor.warnings(HERE)) is not HERE.namespaces
    monkeypatch.setattr(doctor, "protection", lambda: BARE)
    text = "\n".join(doctor.report())
    assert "for a test" in text
    assert "reach the network" in text
