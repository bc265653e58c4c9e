"""Submissions with a fault: it costs its own cell alone, and the remark says what happened."""

from __future__ import annotations

from tests.integration.corpus.book import FULL, Book, case

# By which processes that outlive their notebook are found.
MARK = "98765.4321"
WRONG = "def double(number):\n"


@case(FULL, said="more than 4 seconds")
def endless_loop(book: Book) -> None:
    """A cell of its own never ends."""
    book.solve().add("while True:\n    pass").write()


@case(FULL, said="more than 4 seconds")
def stubborn_loop(book: Book) -> None:
    """It swallows the interrupt too."""
    book.solve().add("while True:\n    try:\n        while True: pass\n    except BaseException: pass").write()


@case(5)
def endless_answer(book: Book) -> None:
    """An answer never ends."""
    book.solve(double=WRONG + "    while True: pass").write()


@case(5, said="with status 0")
def answer_exits(book: Book) -> None:
    """An answer ends the process in mid-test."""
    book.solve(double=WRONG + "    import os; os._exit(0)").write()


@case(5)
def answer_raises_system_exit(book: Book) -> None:
    """An answer calls sys.exit(0)."""
    book.solve(double=WRONG + "    import sys; sys.exit(0)").write()


@case(FULL, said="exit()")
def cell_exits(book: Book) -> None:
    """A cell calls exit()."""
    book.solve().add("exit()").write()


@case(FULL, said="with status 0")
def cell_dies(book: Book) -> None:
    """A cell ends the process."""
    book.solve().add("import os; os._exit(0)").write()


@case(FULL, said="SIGKILL")
def cell_kills(book: Book) -> None:
    """A cell kills its own process."""
    book.solve().add("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").write()


@case(FULL)
def recursion(book: Book) -> None:
    """A cell recurses for ever."""
    book.solve().add("def f():\n    f()\nf()").write()


@case(FULL)
def asks_for_input(book: Book) -> None:
    """A cell waits for somebody to type."""
    book.solve().add("input('name? ')").write()


@case(FULL)
def prints_too_much(book: Book) -> None:
    """A cell prints ten million characters."""
    book.solve().add("print('x' * 10_000_000)").write()


@case(FULL)
def memory(book: Book) -> None:
    """A cell asks for more memory than there is."""
    book.solve().add("x = bytearray(1 << 45)").write()


@case(FULL)
def leaves_a_thread(book: Book) -> None:
    """A thread goes on in the background."""
    book.solve().add(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()"
    ).write()


@case(FULL)
def leaves_a_process(book: Book) -> None:
    """A process goes on in the background."""
    book.solve().add(f"import subprocess\nsubprocess.Popen(['sleep', '{MARK}'])").write()


@case(FULL)
def leaves_a_daemon(book: Book) -> None:
    """A process goes on in a session of its own."""
    book.solve().add(f"import subprocess\nsubprocess.Popen(['sleep', '{MARK}'], start_new_session=True)").write()


@case(FULL)
def leaves_a_server(book: Book) -> None:
    """A port stays open."""
    book.solve().add("import socket\ns = socket.create_server(('127.0.0.1', 0))").write()


@case(FULL)
def leaves_files(book: Book) -> None:
    """Files stay in the folder and in the temporary one."""
    book.solve().add(
        "import pathlib, tempfile\npathlib.Path('x').write_text('x')\npathlib.Path(tempfile.mkdtemp(), 'y').touch()"
    ).write()


@case(FULL)
def forks(book: Book) -> None:
    """A cell forks, and both processes go on."""
    book.solve().add("import os\npid = os.fork()").write()


@case(FULL, said="processes and threads")
def leaves_many_processes(book: Book) -> None:
    """A cell forks until it can't, and the forks stay."""
    book.solve().add(
        "import os, time\n"
        "for _ in range(400):\n"
        "    if os.fork() == 0:\n"
        f"        os.execvp('sleep', ['sleep', '{MARK}'])"
    ).write()


@case(FULL)
def leaves_many_threads(book: Book) -> None:
    """A cell starts threads until it can't."""
    book.solve().add(
        "import threading, time\n"
        "for _ in range(400):\n"
        "    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()"
    ).write()


@case(FULL)
def fork_bomb(book: Book) -> None:
    """A cell forks, and so does each of its forks, for ever."""
    book.solve().add("import os\nwhile True:\n    os.fork()").write()


@case(5, said="processes and threads")
def answer_leaves_many_processes(book: Book) -> None:
    """An answer forks until it can't, the tests find it wrong, and those that follow have what they need."""
    book.solve(double=WRONG + f"    import subprocess\n    while True: subprocess.Popen(['sleep', '{MARK}'])").write()


@case(FULL)
def changes_folder(book: Book) -> None:
    """A cell changes the folder and the environment."""
    book.solve().add("import os\nos.chdir('/')\nos.environ.clear()").write()


@case(FULL)
def closes_stdout(book: Book) -> None:
    """A cell closes what it prints to."""
    book.solve().add("import os\nos.close(1); os.close(2)", place=-1).write()


@case(FULL, said="SIGSEGV")
def crashes(book: Book) -> None:
    """The interpreter runs out of its stack, in C."""
    book.solve().add("import faulthandler; faulthandler._sigsegv()").write()
