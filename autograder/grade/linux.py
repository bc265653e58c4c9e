"""The calls to the Linux kernel that isolation needs and Python lacks. Each raises OSError where it is refused."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import signal
import socket
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

# From <sched.h>.
NEW_MOUNTS = 0x00020000
NEW_NAMES = 0x04000000
NEW_IPC = 0x08000000
NEW_USERS = 0x10000000
NEW_PIDS = 0x20000000
NEW_NETWORK = 0x40000000
NEW_ANYTHING = NEW_MOUNTS | 0x02000000 | NEW_NAMES | NEW_IPC | NEW_USERS | NEW_PIDS | NEW_NETWORK

# From <sys/mount.h>.
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
READ_ONLY = 0x00000001  # MOUNT_ATTR_RDONLY
READ_ONLY_NO_SETUID = 0x00000001 | 0x00000002  # MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID

# From <linux/prctl.h>.
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 36, 38
SECCOMP_MODE_FILTER = 2

# The numbers that differ between processors: x86-64, then AArch64.
PROCESSORS = {"x86_64": 0, "aarch64": 1}
AUDIT_ARCHITECTURES = (0xC000003E, 0xC00000B7)
CALLS = {
    "clone": (56, 220),
    "socket": (41, 198),
    "pivot_root": (155, 41),
    "capset": (126, 91),
}
# The same everywhere.
CLONE3, MOUNT_SETATTR, LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 435, 442, 444, 445, 446
# What a notebook never needs, and what the kernel's defects are most often found in; the kernel's keys belong to no
# namespace, so that one submission could leave there something for another.
FORBIDDEN = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "kexec_load": (246, 104),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "syslog": (103, 116),
    "quotactl": (179, 60),
}
# Sockets between machines and their host (vsock), and the kernel's own, are not part of a network namespace.
ALLOWED_SOCKETS = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)

# From <linux/landlock.h>: rights to files by the version that brought them.
READ = 0x1 | 0x4 | 0x8  # execute, read a file, read a folder
RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
FILE_RIGHTS = 0x1 | 0x2 | 0x4 | 1 << 14 | 1 << 15
SCOPES = 0x1 | 0x2  # abstract Unix sockets, and signals
SCOPES_SINCE = 6

_libc = ctypes.CDLL(None, use_errno=True)
# Keeps the interpreter's lock: the child of a bare clone has nobody to get it back from.
_locked = ctypes.PyDLL(None, use_errno=True)


def known_processor() -> bool:
    """Whether the numbers of the kernel's calls are known for this processor."""
    return platform.machine() in PROCESSORS and ctypes.sizeof(ctypes.c_void_p) == 8


def clone(namespaces: int) -> int:
    """Fork into new namespaces; return the child's process id, 0 in the child. The process must have one thread."""
    flags = ctypes.c_ulong(namespaces | signal.SIGCHLD)
    zero = ctypes.c_ulong(0)
    return _checked(_locked.syscall(ctypes.c_long(_call(CALLS["clone"])), flags, zero, zero, zero, zero))


def unshare(namespaces: int) -> None:
    """Go into new namespaces."""
    _checked(_libc.unshare(ctypes.c_int(namespaces)))


def map_ids(uid: int, gid: int, inner: int | None = None) -> None:
    """In a new user namespace: let `uid` and `gid` of the outer one be `inner` here, or themselves."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid if inner is None else inner} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid if inner is None else inner} {gid} 1")


def bring_loopback_up() -> None:
    """Set the interface `lo` up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        up_and_running = struct.pack("16sh14x", b"lo", 0x1 | 0x40)
        fcntl.ioctl(handle, 0x8914, up_and_running)  # SIOCSIFFLAGS


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount, as mount(2)."""
    arguments = [ctypes.c_char_p(os.fsencode(text)) for text in (source, target, kind)]
    _checked(_libc.mount(*arguments, ctypes.c_ulong(flags), ctypes.c_char_p(options.encode())), target)


def make_read_only(folder: str) -> None:
    """Make a mount and all that are mounted below it read-only, programs of other users among them plain."""
    attributes = struct.pack("QQQQ", READ_ONLY_NO_SETUID, 0, 0, 0)
    _syscall(MOUNT_SETATTR, AT_FDCWD, os.fsencode(folder), AT_RECURSIVE, attributes, len(attributes))


def make_writable(folder: str) -> None:
    """Make one mount writable again; those below it stay as they are."""
    attributes = struct.pack("QQQQ", 0, READ_ONLY, 0, 0)
    _syscall(MOUNT_SETATTR, AT_FDCWD, os.fsencode(folder), 0, attributes, len(attributes))


def change_root(folder: str) -> None:
    """Make a mounted folder the root, and let go of the old one."""
    os.chdir(folder)
    _syscall(_call(CALLS["pivot_root"]), b".", b".")
    _checked(_libc.umount2(b".", MNT_DETACH))
    os.chdir("/")


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process."""
    _checked(_libc.prctl(*(ctypes.c_ulong(number) for number in (option, value, 0, 0, 0))))


def drop_capabilities() -> None:
    """Give up every capability."""
    header = struct.pack("Ii", 0x20080522, 0)
    _syscall(_call(CALLS["capset"]), header, struct.pack("6I", 0, 0, 0, 0, 0, 0))


def landlock_version() -> int:
    """Return the version of Landlock that the kernel has, 0 for none."""
    try:
        return _syscall(LANDLOCK_CREATE, None, 0, 1)
    except OSError:
        return 0


def restrict_files(readable: Iterable[str], writable: Iterable[str]) -> None:
    """By Landlock: let this process and its descendants read and run, or also write, what is below these paths alone.

    They can then send no signal to a process that isn't bound like this either, where the kernel is new enough.
    """
    version = landlock_version()
    every = sum(rights for since, rights in RIGHTS.items() if since <= version)
    attributes = struct.pack("QQQ", every, 0, SCOPES if version >= SCOPES_SINCE else 0)
    # Older kernels take a longer structure only where what they don't know is zero.
    ruleset = _syscall(LANDLOCK_CREATE, attributes, len(attributes), 0)
    try:
        for paths, rights in ((readable, READ), (writable, every)):
            for path in paths:
                _allow(ruleset, path, rights & every)
        _syscall(LANDLOCK_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def forbid_calls() -> None:
    """By seccomp: refuse the kernel's calls that a notebook never needs. Takes `PR_SET_NO_NEW_PRIVS` first."""
    program = b"".join(_filter())
    code = ctypes.create_string_buffer(program, len(program))
    prog = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    handle = ctypes.create_string_buffer(prog, len(prog))
    _checked(_libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(handle), 0, 0))


def has_seccomp() -> bool:
    """Whether the kernel filters calls. A filter at a wrong address is refused for that, which changes nothing."""
    _libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), None, 0, 0)
    return ctypes.get_errno() == errno.EFAULT


def _filter() -> list[bytes]:
    """Return the program that judges each call, an instruction each."""
    load, same, above, bits, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    number, architecture, first = 0, 4, 16  # where `struct seccomp_data` has them
    allow, refuse, kill = 0x7FFF0000, 0x00050000, 0x80000000

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, value)

    def refused(why: int) -> bytes:
        return step(answer, refuse | why)

    program = [
        step(load, architecture),
        step(same, AUDIT_ARCHITECTURES[PROCESSORS[platform.machine()]], yes=1),
        step(answer, kill),
        step(load, number),
        step(above, 0x40000000, no=1),  # x86-64's other set of numbers
        step(answer, kill),
    ]
    for numbers in FORBIDDEN.values():
        program += [step(same, _call(numbers), no=1), refused(errno.EPERM)]
    # What it is asked for stands in memory, where a filter can't look; the C library then takes clone.
    program += [step(same, CLONE3, no=1), refused(errno.ENOSYS)]
    program += [
        step(same, _call(CALLS["clone"]), no=4),
        step(load, first),
        step(bits, NEW_ANYTHING, no=1),
        refused(errno.EPERM),
        step(answer, allow),
    ]
    families = len(ALLOWED_SOCKETS)
    program += [step(same, _call(CALLS["socket"]), no=families + 2), step(load, first)]
    program += [step(same, family, yes=families - index) for index, family in enumerate(ALLOWED_SOCKETS)]
    return [*program, refused(errno.EAFNOSUPPORT), step(answer, allow)]


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Add a path with the rights to it, as far as they make sense for it."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rights = rights if os.path.isdir(path) else rights & FILE_RIGHTS  # noqa: PTH112 - a path as the kernel has it
        _syscall(LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", rights, handle), 0)
    finally:
        os.close(handle)


def _call(numbers: Sequence[int]) -> int:
    """Return a call's number on this processor."""
    return numbers[PROCESSORS[platform.machine()]]


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    """Make a call; integers and pointers are passed as they are."""
    passed = [ctypes.c_long(value) if isinstance(value, int) else ctypes.c_char_p(value) for value in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *passed))


def _checked(result: int, what: str | None = None) -> int:
    """Return what a call returned. Raises OSError where it failed."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
    return result
