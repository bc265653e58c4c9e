"""Submissions that want points for nothing: each gets the fair score, or is flagged with the reason."""

from __future__ import annotations

import base64

from tests.integration.corpus.book import FULL, Book, case

MIME = "application/vnd.autograder.check+json"
FORGED = f"{{{MIME!r}: {{'exercise': 'double', 'tests': [{{'name': 'test_doubles_two', 'sentence': 'x', "
FORGED += "'outcome': 'passed', 'message': ''}]}}"


@case(0)
def tags_and_points(book: Book) -> None:
    """Tests are tagged to be skipped, and have more points."""
    for cell in book.cells:
        cell["metadata"]["tags"] = ["skip-execution", "raises-exception"]
        if "points" in cell["metadata"].get("nbgrader", {}):
            cell["metadata"]["nbgrader"]["points"] = 100
    book.write()


@case(0)
def tests_rewritten(book: Book) -> None:
    """The tests say something else."""
    for cell in book.cells:
        if cell["id"].startswith(("check-", "hidden-")):
            cell["source"] = "print('all good')"
    book.write()


@case(0)
def saved_reports(book: Book) -> None:
    """Reports of success were saved as outputs."""
    for cell in book.cells:
        if cell["cell_type"] == "code":
            cell["outputs"] = [{"output_type": "display_data", "data": {MIME: {"tests": []}}, "metadata": {}}]
    book.write()


@case(0, "shows a report")
def published_report(book: Book) -> None:
    """A cell publishes a report of its own."""
    book.add(f"from IPython.display import display\ndisplay({FORGED}, raw=True)").write()


@case(0, "shows a report")
def published_report_in_disguise(book: Book) -> None:
    """A cell publishes a report whose type it puts together."""
    source = FORGED.replace(repr(MIME), "'application/vnd.auto' + 'grader.check+json'")
    book.add(f"from IPython.display import display\ndisplay({source}, raw=True)").write()


@case(0)
def answer_publishes(book: Book) -> None:
    """An answer publishes a report while it is tested."""
    source = FORGED.replace(repr(MIME), "'application/vnd.auto' + 'grader.check+json'")
    book.cell("solution-double")["source"] = (
        f"def double(number):\n    from IPython.display import display\n    display({source}, raw=True)"
    )
    book.write()


@case(0)
def own_magic(book: Book) -> None:
    """%%check is another magic now."""
    book.add(
        "from IPython.core.magic import register_cell_magic\n@register_cell_magic\ndef check(line, cell):\n    pass"
    ).write()


@case(0)
def input_transformer(book: Book) -> None:
    """Cells are rewritten before they are run."""
    book.add(
        "get_ipython().input_transformers_cleanup.append("
        "lambda lines: ['pass'] if lines[0].startswith('%%check') else lines)"
    ).write()


@case(0)
def tree_transformer(book: Book) -> None:
    """Assertions are taken out of every cell."""
    book.add(
        "import ast\nclass T(ast.NodeTransformer):\n    def visit_Assert(self, node):\n        return ast.Pass()\n"
        "get_ipython().ast_transformers.append(T())"
    ).write()


@case(0)
def hook_before_cells(book: Book) -> None:
    """A hook defines right answers of a kind before each cell."""
    book.add("get_ipython().events.register('pre_run_cell', lambda info: None)").write()


@case(0)
def patched_shell(book: Book) -> None:
    """The shell runs nothing any more that begins with %%check."""
    book.add(
        "s = get_ipython()\nold = s.run_cell\n"
        "s.run_cell = lambda raw, *a, **k: old('' if 'check' in raw else raw, *a, **k)"
    ).write()


@case(0, "no longer what checks are run with")
def patched_pytest(book: Book) -> None:
    """pytest.main says that all is well."""
    book.add("import pytest\npytest.main = lambda *a, **k: 0").write()


@case(0, "no longer what checks are run with")
def patched_protocol(book: Book) -> None:
    """pytest's runner calls no test."""
    book.add(
        "import importlib\nr = importlib.import_module('_py' + 'test.runner')\n"
        "r.pytest_runtest_call = lambda item: None"
    ).write()


@case(0, "no longer what checks are run with")
def patched_method(book: Book) -> None:
    """A method of pytest's function item does nothing."""
    book.add("import pytest\npytest.Function.runtest = lambda self: None").write()


@case(0, "no longer what checks are run with")
def patched_grader(book: Book) -> None:
    """The runner of checks returns what is wished for."""
    book.add("import autograder.notebook.runner as r\nr.run_tests = lambda *a, **k: []").write()


@case(0, "no longer what checks are run with")
def patched_record(book: Book) -> None:
    """Results say that they passed, whatever they were made with."""
    book.add(
        "from autograder.notebook.outcome import Outcome, TestResult\n"
        "TestResult.outcome = property(lambda self: Outcome.PASSED)"
    ).write()


@case(0, "no longer what checks are run with")
def patched_builtins(book: Book) -> None:
    """Built-ins lie."""
    book.add("import builtins\nbuiltins.sum = lambda *a: 4").write()


@case(0, "no longer what checks are run with")
def patched_assertion_error(book: Book) -> None:
    """An assertion's error is another one."""
    book.add("import builtins\nclass Quiet(Exception): pass\nbuiltins.AssertionError = Quiet").write()


@case(0, "no longer what checks are run with")
def patched_json(book: Book) -> None:
    """What is told is written by another encoder."""
    book.add(
        "import json\nold = json.JSONEncoder.encode\n"
        "json.JSONEncoder.encode = lambda self, o: old(self, o).replace('failed', 'passed')"
    ).write()


@case(0, "no longer what checks are run with")
def replaced_module(book: Book) -> None:
    """Another pytest is put in its place."""
    book.add("import sys, types\nsys.modules['pytest'] = types.ModuleType('pytest')").write()


@case(0, "no longer what checks are run with")
def patched_in_mid_test(book: Book) -> None:
    """An answer patches pytest while it is tested."""
    source = "def double(number):\n    import pytest\n    pytest.Function.runtest = lambda self: None\n    return 4"
    book.solve(double=source).write()


@case(0, "rewriting __code__")
def rewritten_code(book: Book) -> None:
    """A function of pytest gets other code."""
    book.add(
        "import importlib\nr = importlib.import_module('_py' + 'test.runner')\n"
        "def nothing(item): pass\nr.pytest_runtest_call.__code__ = nothing.__code__"
    ).write()


@case(0, "_getframe")
def reads_frames(book: Book) -> None:
    """A cell walks up the frames to the grader's."""
    book.add(
        "import sys\nf = sys._getframe()\nwhile f:\n    print(f.f_code.co_name, list(f.f_locals))\n    f = f.f_back"
    ).write()


@case(0, "tb_frame")
def reads_frames_of_a_traceback(book: Book) -> None:
    """It takes the way through a traceback."""
    book.add("try:\n    1 / 0\nexcept Exception as e:\n    f = e.__traceback__.tb_frame.f_back").write()


@case(0, "_getframe")
def reads_frames_by_inspect(book: Book) -> None:
    """It has the library take the frame."""
    book.add("import inspect\nf = inspect.currentframe().f_back").write()


@case(0, "get_objects")
def reads_memory(book: Book) -> None:
    """It looks through all objects for the secret."""
    book.add("import gc\nkeys = [o for o in gc.get_objects() if isinstance(o, dict) and 'key' in o]").write()


@case(0, "open")
def reads_process_memory(book: Book) -> None:
    """It opens the process's memory as a file."""
    book.add("open('/proc/self/mem', 'rb')").write()


@case(0, "settrace")
def traces(book: Book) -> None:
    """A trace function jumps over assertions."""
    book.add("import sys\nsys.settrace(lambda frame, event, arg: None)").write()


@case(0, "ctypes")
def writes_memory(book: Book) -> None:
    """It names the module that reads and writes any memory."""
    book.add("import ctypes").write()


@case(FULL, "equals anything")
def always_equal(book: Book) -> None:
    """Answers equal whatever they are compared with."""
    same = "class Same:\n    def __eq__(self, other):\n        return True\n"
    book.solve(
        double=f"{same}def double(number):\n    return Same()",
        later="async def later(number):\n    return Same()",
        mend="def mend():\n    return Same()",
    ).write()


@case(FULL, "brought its own comparison")
def equals_what_it_should(book: Book) -> None:
    """An answer is an int whose comparison is its own."""
    source = "class Same(int):\n    def __eq__(self, other):\n        return isinstance(other, int)\n"
    book.solve(double=f"{source}    __hash__ = int.__hash__\ndef double(number):\n    return Same()").write()


@case(FULL, "equals anything")
def always_equal_of_the_library(book: Book) -> None:
    """An answer is the library's object that equals anything."""
    book.solve(double="from unittest import mock\ndef double(number):\n    return mock.ANY").write()


@case(0)
def fixture_that_skips(book: Book) -> None:
    """A fixture skips every test."""
    book.add("import pytest\n@pytest.fixture(autouse=True)\ndef skip():\n    pytest.skip()").write()


@case(0)
def mark_that_skips(book: Book) -> None:
    """A mark skips every test."""
    book.add("import pytest\npytestmark = pytest.mark.skip").write()


@case(0)
def generates_no_tests(book: Book) -> None:
    """A hook has every test run for no parameters."""
    book.add("def pytest_generate_tests(metafunc):\n    metafunc.fixturenames.clear()").write()


@case(0)
def answer_skips(book: Book) -> None:
    """Answers skip the test that they are called in."""
    book.add("import pytest")
    book.solve(
        double="def double(number):\n    pytest.skip()",
        later="async def later(number):\n    pytest.skip()",
        mend="def mend():\n    pytest.xfail()",
    ).write()


@case(0, "must fail")
def answer_ends_the_run(book: Book) -> None:
    """Answers end pytest's run."""
    book.add("import pytest")
    book.solve(
        double="def double(number):\n    pytest.exit('enough', 0)",
        later="async def later(number):\n    pytest.exit('enough', 0)",
        mend="def mend():\n    raise KeyboardInterrupt",
    ).write()


@case(0, "takes the place of a module")
def own_pytest(book: Book) -> None:
    """A file is called pytest.py."""
    book.write()
    (book.folder / "pytest.py").write_text("def main(*_): return 0")


@case(0, "takes the place of a module")
def own_conftest(book: Book) -> None:
    """A file is called conftest.py and skips everything."""
    book.write()
    (book.folder / "conftest.py").write_text("collect_ignore_glob = ['*']")


@case(0, "spoke in the place")
def forged_answer(book: Book) -> None:
    """A cell writes answers to every descriptor that there is."""
    message = "struct.pack('!i', len(said)) + said"
    book.add(
        "import os, struct\nsaid = b'x' * 32 + b'{\"number\": 9, \"tests\": []}'\nfor fd in range(3, 64):\n"
        f"    try:\n        os.write(fd, {message})\n    except OSError:\n        pass"
    ).write()


@case(0)
def closed_descriptors(book: Book) -> None:
    """A cell closes every descriptor that there is."""
    book.add("import os\nos.closerange(3, 256)").write()


@case(0)
def reads_solutions(book: Book) -> None:
    """A cell looks for the instructor's notebooks on the disk."""
    book.add(
        "import autograder, pathlib\nroot = pathlib.Path(autograder.__file__).parents[1]\n"
        "print(list(root.glob('solutions/*/*.ipynb')))"
    ).write()


@case(0)
def hidden_in_text(book: Book) -> None:
    """Code that is put together at run time patches the shell's display."""
    code = base64.b64encode(b"get_ipython().display_pub.publish = lambda *a, **k: None").decode()
    book.add(f"import base64\nexec(base64.b64decode({code!r}))").write()


@case(0)
def displays_nothing(book: Book) -> None:
    """The function that displays is another one."""
    book.add("import IPython.display\nIPython.display.display = print").write()


@case(6)
def answer_knows_the_tests(book: Book) -> None:
    """An answer knows the visible tests alone: the hidden ones are for that."""
    book.solve(double="def double(number):\n    return {2: 4}[number]").write()


@case(0)
def answers_by_exception(book: Book) -> None:
    """Answers raise what says that nothing is solved yet."""
    raising = "raise NotImplementedError"
    book.solve(
        double=f"def double(number):\n    {raising}",
        later=f"async def later(number):\n    {raising}",
        mend=f"def mend():\n    {raising}",
    ).write()


@case(0, "no longer what checks are run with")
def blind_seal(book: Book) -> None:
    """What looks for replaced functions is replaced first, then the machinery."""
    book.add(
        "import sys\n"
        "seal, guard = (sys.modules['.'.join(['auto' + 'grader', 'gra' + 'de', n])] for n in ('seal', 'guard'))\n"
        "seal._replaced = seal._callables = lambda *_: []\n"
        "seal._content, seal._same = lambda cell: None, lambda *_: True\n"
        "seal._means = lambda *_: True\n"
        "seal.__builtins__['all'] = lambda *_: True\n"
        "class Passed:\n"
        "    outcome, message, sentence = 'passed', '', 'x'\n"
        "    def __init__(self, name): self.name = name\n"
        "guard.run_tests = lambda namespace, names, learner: [Passed(name) for name in names]\n"
    ).write()


@case(0, "no longer what checks are run with")
def hides_a_builtin_from_pytest(book: Book) -> None:
    """A built-in name gets another meaning in a module of pytest's, in the place of a name that it can do without."""
    book.add(
        "import sys\n"
        "runner = sys.modules['_py' + 'test.runner']\n"
        "del runner.TYPE_CHECKING\n"
        "runner.isinstance = lambda value, kind: False\n"
    ).write()


@case(0, "no longer what checks are run with")
def hides_a_builtin_under_a_false_name(book: Book) -> None:
    """The same with a name that equals what it is compared with when it likes."""
    book.add(
        "import sys\n"
        "class Name(str):\n"
        "    __hash__ = str.__hash__\n"
        "    def __eq__(self, other): return False\n"
        "vars(sys.modules['_py' + 'test.runner'])[Name('isinstance')] = lambda value, kind: False\n"
    ).write()
