"""What keeps a notebook's process apart from everything else, as far as the system can; prints it as a program."""

from __future__ import annotations

import functools
import json
import math
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

from autograder.grade.crowd import threads
from autograder.grade.model import Limits

LINUX = sys.platform == "linux"
# Whom root's notebooks belong to, and those of somebody who is root in a namespace of their own alone.
NOBODY = 65534
# Where a notebook runs in a file system of its own.
HOME = "/home"
# What a system's programs and libraries are in, and what they read of its settings: nothing secret.
SYSTEM = ("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/share", "/nix/store")
LOCAL = ("bin", "include", "lib", "lib64", "sbin", "share")
LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
SETTINGS = (
    *(
        "alternatives",
        "fonts",
        "group",
        "host.conf",
        "hosts",
        "ld.so.cache",
        "ld.so.conf",
        "ld.so.conf.d",
        "locale.alias",
    ),
    *("localtime", "mime.types", "nsswitch.conf", "passwd", "pki/tls/certs", "protocols", "services"),
    *("ssl/certs", "ssl/openssl.cnf", "timezone"),
)
DEVICES = ("full", "null", "random", "urandom", "zero")
TERMINALS = ("ptmx", "pts", "tty")
DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
# What a notebook can write to, below the root that is made for it.
OWN = ("dev/shm", "home", "tmp")
# Folders that exist nearly everywhere and hold nothing that is shown: where the new root is put together.
BASES = ("/sys", "/mnt", "/media")


@dataclass(frozen=True, slots=True)
class Protection:
    """What this machine can do to keep a notebook's process apart."""

    # Own processes, files, network and memory segments.
    namespaces: bool
    # Why not.
    refused: str = ""
    # The version of Landlock, 0 for none.
    landlock: int = 0
    seccomp: bool = False
    # The user that root's notebooks run as; None where they run as the user who grades.
    user: int | None = None
    # Whether memory and the number of processes can be limited.
    limits: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """What a notebook could do here that it should not be able to, a clause each."""
        if self.namespaces:
            return ()
        reached = "write to the terminals" if self.landlock else "read and write the files"
        files = (f"{reached} of the user it runs as",) if self.user is None else ()
        signals = () if self.landlock >= 6 or self.user is not None else ("end that user's other processes",)
        limits = () if self.limits else ("take all memory, and start any number of processes",)
        return (*files, *signals, "reach the network", *limits)


@functools.cache
def protection() -> Protection:
    """Return what this machine can do, found by trying it in a process of its own.

    Raises RuntimeError where that process fails.
    """
    if not LINUX:
        return Protection(False, f"{sys.platform} has no namespaces")
    tried = begin_trying()
    said, _ = tried.communicate()
    if tried.returncode:
        raise RuntimeError(f"what this machine can do could not be tried: exit status {tried.returncode}")
    return Protection(**json.loads(said))


@functools.cache
def begin_trying() -> subprocess.Popen[bytes]:
    """Start the process in which `protection` tries what this machine can do; who calls this first waits less."""
    command = [sys.executable, "-P", "-m", "autograder.grade.sandbox"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)


def shown() -> list[str]:
    """Return the folders that a notebook may read besides the system's own: this environment and this package."""
    paths = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, sysconfig.get_path("purelib")}
    paths.add(os.fspath(Path(__file__).parents[1]))
    spread = {
        os.path.join(path, name)  # noqa: PTH118
        for path in ("/usr/local", *(paths & {"/usr", "/usr/local"}))
        for name in LOCAL
    }
    wanted = {*SYSTEM, *spread, *(paths - {"/usr", "/usr/local"})}
    wanted |= {os.path.realpath(path) for path in wanted}
    # A folder shows what is below it.
    return sorted(
        path
        for path in wanted
        if os.path.isdir(path) and not any(path != other and Path(path).is_relative_to(other) for other in wanted)  # noqa: PTH112
    )


def settings() -> Iterator[str]:
    """Yield what there is of the system's settings that a notebook may read."""
    for name in SETTINGS:
        if os.path.exists(f"/etc/{name}"):  # noqa: PTH110
            yield f"/etc/{name}"


class Sandbox:
    """Starts processes that are kept apart. It is made in the process that they are forked from."""

    def __init__(self, protection: Protection, limits: Limits) -> None:
        self.protection = protection
        self._limits = limits
        # In a new user namespace nobody knows any more who they were.
        self._owner = os.geteuid(), os.getegid()
        self._shown = shown()

    def fork(self) -> int:
        """Fork into new namespaces where there are any; return the child's process id, 0 in the child.

        The child has to call `enter`, and runs nothing else before. There must be one thread.
        """
        if not self.protection.namespaces:
            return os.fork()
        from autograder.grade import linux

        users = linux.NEW_USERS if self.protection.user is None else 0
        return linux.clone(
            users | linux.NEW_MOUNTS | linux.NEW_NAMES | linux.NEW_IPC | linux.NEW_PIDS | linux.NEW_NETWORK
        )

    def enter(self, folder: str) -> None:
        """In the child: leave everything behind that a notebook should not reach. Raises OSError where that fails.

        What it starts from now on is bound alike. `folder` is where it can write if it has no files of its own.
        """
        if not LINUX:
            set_limits(self._limits)
            return
        from autograder.grade import linux

        linux.prctl(linux.PR_SET_DUMPABLE, 1)  # else it may not say in /proc who it is, nor read there of itself
        if self.protection.namespaces:
            self._leave(linux)
            Path("/proc/self/oom_score_adj").write_text("1000")  # what the kernel ends first where memory is short
        else:
            linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
            if self.protection.user is not None:
                _become(linux, self.protection.user)
        set_limits(self._limits, alone=self.protection.namespaces)
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        if self.protection.landlock:
            own = ("/home", "/tmp") if self.protection.namespaces else (folder,)
            readable = ("/",) if self.protection.namespaces else (*self._shown, *LINKS, *settings(), "/proc")
            linux.restrict_files(readable, (*own, *(f"/dev/{name}" for name in ("shm", *TERMINALS, *DEVICES))))
        if self.protection.namespaces:
            linux.drop_capabilities()
        if self.protection.seccomp:
            linux.forbid_calls()
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)

    def _leave(self, linux: ModuleType) -> None:
        """Settle in new namespaces: with a root of its own, as a user without rights."""
        uid, gid = self._owner
        user = self.protection.user
        if user is None:
            linux.map_ids(uid, gid, uid or NOBODY)
        linux.bring_loopback_up()
        socket.sethostname("notebook")
        self._build_root(linux)
        if user is not None:
            _become(linux, user)
            # Processes are counted by user namespace: those of other notebooks are not this one's.
            linux.unshare(linux.NEW_USERS)
            linux.map_ids(user, user, user)

    def _build_root(self, linux: ModuleType) -> None:
        """Make a root that shows the environment read-only and a home and `/tmp` that are empty, and change to it."""
        linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
        base = next(base for base in BASES if os.path.isdir(base))  # noqa: PTH112
        plain = linux.MS_NOSUID | linux.MS_NODEV
        linux.mount("tmpfs", base, "tmpfs", plain, "mode=755,size=1m")
        for folder in ("proc", "dev/pts", "var/tmp", *OWN):
            os.makedirs(f"{base}/{folder}")  # noqa: PTH103
        # Before what is shown: the environment may be somewhere below /home or /tmp.
        for folder in OWN:
            options = f"mode=1777,size={self._limits.disk},nr_inodes=100000"
            linux.mount("tmpfs", f"{base}/{folder}", "tmpfs", plain, options)
        for path in (*self._shown, *settings()):
            _bind(linux, path, base)
        for link in filter(os.path.exists, LINKS):
            if os.path.islink(link):  # noqa: PTH114
                os.symlink(os.readlink(link), base + link)  # noqa: PTH115, PTH211
            else:
                _bind(linux, link, base)
        for name in DEVICES:
            _bind(linux, f"/dev/{name}", base)
        for name, target in DEVICE_LINKS.items():
            os.symlink(target, f"{base}/dev/{name}")  # noqa: PTH211
        linux.make_read_only(base)
        for folder in OWN:
            linux.make_writable(f"{base}/{folder}")
        linux.mount("devpts", f"{base}/dev/pts", "devpts", options="newinstance,ptmxmode=0666,mode=620")
        linux.mount("proc", f"{base}/proc", "proc", plain | linux.MS_NOEXEC)
        linux.change_root(base)


def set_limits(limits: Limits, *, alone: bool = False) -> None:
    """Limit this process and its descendants; `alone` says that other processes of this user don't count along."""
    import resource

    def limit(what: int, most: int) -> None:
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))

    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_CPU, math.ceil(limits.notebook))
    limit(resource.RLIMIT_FSIZE, limits.file_size)
    if LINUX:  # others count memory that is reserved but not used, or don't heed the limit
        limit(resource.RLIMIT_NPROC, limits.processes + (0 if alone else threads(os.geteuid())))
        limit(resource.RLIMIT_DATA, limits.memory)
        limit(resource.RLIMIT_AS, 8 * limits.memory)


def _bind(linux: ModuleType, path: str, base: str) -> None:
    """Show a file or folder at the same place below another root."""
    target = base + path
    if os.path.isdir(path):  # noqa: PTH112
        os.makedirs(target, exist_ok=True)  # noqa: PTH103
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
    linux.mount(path, target, flags=linux.MS_BIND | linux.MS_REC)


def _become(linux: ModuleType, user: int) -> None:
    """As root: be a user without rights."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    linux.prctl(linux.PR_SET_DUMPABLE, 1)  # the change has taken it


def _try_all() -> Protection:
    """Return what this machine can do."""
    from autograder.grade import linux

    if not linux.known_processor():
        return Protection(False, f"the kernel's calls on {os.uname().machine} are not known here", limits=True)
    landlock, seccomp = linux.landlock_version(), linux.has_seccomp()
    users = (NOBODY, None) if os.geteuid() == 0 else (None,)
    why = ""
    for user in users:
        attempt = Protection(True, landlock=landlock, seccomp=seccomp, user=user, limits=True)
        why = _try(attempt)
        if not why:
            return attempt
    for user in users:
        attempt = Protection(False, why, landlock, seccomp, user, limits=os.geteuid() != 0 or user is not None)
        if not _try(attempt):
            return attempt
    return Protection(False, why)


def _try(attempt: Protection) -> str:
    """Return why processes can't be kept apart like this, "" where they can."""
    reading, writing = os.pipe()
    sandbox = Sandbox(attempt, Limits())
    folders = shown()
    try:
        pid = sandbox.fork()
    except OSError as error:
        return f"no process could be started in new namespaces: {error.strerror}"
    if pid == 0:
        try:
            sandbox.enter("/")
            for path in folders:
                os.listdir(path)  # noqa: PTH208
        except BaseException as error:
            os.write(writing, f"{error}".encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as told:  # noqa: PTH123
        why = told.read().decode()
    _, status = os.waitpid(pid, 0)
    return why or ("" if status == 0 else f"it ended with status {status}")


if __name__ == "__main__":
    print(json.dumps(asdict(_try_all())))
