"""Do something to a running server at the N-th system call of all its threads.

Promises: the action is called while the server stands still before that call, which the kernel has
not begun; what the action kills never makes it. So going through every N meets the server between
any two calls. The calls that count change the store, make it durable or answer the client; what
only waits or looks is let pass.

strace can inject a signal (`inject=...:signal=KILL:when=N`), but counts for each thread apart:
where a delivery is handed from one thread to another, the second one's first calls are never the
first of all. This counts over all threads of all processes, and can do more than kill.

The tracing is done by a process of its own, this file run as a program, since whoever traces has to
wait for any child. It needs ptrace: root, or a kernel that lets us trace our siblings.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

# From the kernel's tables of x86_64 and of the architectures that came later (aarch64, riscv64).
_NUMBERS = {
    "x86_64": {
        "write": 1,
        "open": 2,
        "close": 3,
        "pwrite64": 18,
        "writev": 20,
        "sendfile": 40,
        "sendto": 44,
        "sendmsg": 46,
        "fsync": 74,
        "fdatasync": 75,
        "ftruncate": 77,
        "rename": 82,
        "mkdir": 83,
        "link": 86,
        "unlink": 87,
        "sync": 162,
        "openat": 257,
        "mkdirat": 258,
        "unlinkat": 263,
        "renameat": 264,
        "linkat": 265,
        "splice": 275,
        "sync_file_range": 277,
        "fallocate": 285,
        "pwritev": 296,
        "syncfs": 306,
        "renameat2": 316,
        "copy_file_range": 326,
        "pwritev2": 328,
    },
    "generic": {
        "mkdirat": 34,
        "unlinkat": 35,
        "linkat": 37,
        "renameat": 38,
        "ftruncate": 46,
        "fallocate": 47,
        "openat": 56,
        "close": 57,
        "write": 64,
        "writev": 66,
        "pwrite64": 68,
        "pwritev": 70,
        "sendfile": 71,
        "splice": 76,
        "sync": 81,
        "fsync": 82,
        "fdatasync": 83,
        "sync_file_range": 84,
        "sendto": 206,
        "sendmsg": 211,
        "syncfs": 267,
        "renameat2": 276,
        "copy_file_range": 285,
        "pwritev2": 287,
    },
}
_NUMBERS_HERE = _NUMBERS["x86_64" if platform.machine() == "x86_64" else "generic"]
_COUNTED = {number: name for name, number in _NUMBERS_HERE.items()}

# <linux/ptrace.h>
_PTRACE_CONT_TO_CALL = 24
_PTRACE_SEIZE = 0x4206
_PTRACE_INTERRUPT = 0x4207
_PTRACE_LISTEN = 0x4208
_PTRACE_GET_SYSCALL_INFO = 0x420E
_TRACE_SYSGOOD, _TRACE_FORK, _TRACE_VFORK, _TRACE_CLONE = 0x1, 0x2, 0x4, 0x8
_OPTIONS = _TRACE_SYSGOOD | _TRACE_FORK | _TRACE_VFORK | _TRACE_CLONE
_EVENT_STOP = 128
_STOPPED_AT_CALL = signal.SIGTRAP | 0x80
_ENTRY = 1
_ALL_THREADS = 0x40000000  # __WALL
_READY = "ready\n"
_JOB_CONTROL = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class _CallInfo(ctypes.Structure):
    """struct ptrace_syscall_info, as far as it concerns the beginning of a call."""

    _fields_ = (
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("stack_pointer", ctypes.c_uint64),
        ("number", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
    )


class AtCall:
    """Within the `with` block the calls of a server are counted, and the action waits for its turn.

    `calls` are the names of those that were begun, and `at` is the one before which the action was
    called. The action may kill the server, but must wait neither for its end nor for a reply.
    """

    def __init__(self, server: int, number: int, action: Callable[[], None]) -> None:
        self.calls: list[str] = []
        self.at = ""
        self._server = server
        self._number = number
        self._action = action

    def __enter__(self) -> AtCall:
        self._tracer = subprocess.Popen(
            [sys.executable, __file__, str(self._server), str(self._number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._tracer.stdout is not None
        if self._tracer.stdout.readline() != _READY:
            self._tracer.communicate()
            raise RuntimeError("the server cannot be traced, see above")
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Its end lets the server go, if that still runs.
        self._tracer.kill()
        self._listener.join()
        self._tracer.communicate()

    def _listen(self) -> None:
        assert self._tracer.stdin is not None
        assert self._tracer.stdout is not None
        for line in self._tracer.stdout:
            self.calls.append(line.strip())
            if len(self.calls) == self._number:
                self._action()
                self.at = self.calls[-1]
                with contextlib.suppress(BrokenPipeError):
                    self._tracer.stdin.write("\n")
                    self._tracer.stdin.flush()


# From here on: the program that traces.


def main() -> int:
    """Count and hold; ends when the server does."""
    server, number = (int(word) for word in sys.argv[1:])
    _seize_all(server)
    print(_READY, end="", flush=True)
    count = 0
    while True:
        try:
            thread, status = os.waitpid(-1, _ALL_THREADS)
        except ChildProcessError:
            return 0
        if not os.WIFSTOPPED(status):
            continue
        name = _call_begun(thread, status)
        if name:
            count += 1
            print(name, flush=True)
            if count == number:
                # Nobody is resumed meanwhile: other threads get to their next call at most.
                sys.stdin.readline()
        _resume(thread, status)


def _seize_all(server: int) -> None:
    """Trace every thread there is; those to come are traced from their beginning."""
    seized: set[int] = set()
    while new := _threads(server) - seized:
        # A thread that runs or waits enters our counting only after a stop.
        for thread in [one for one in new if _seize(one)]:
            _resume(*os.waitpid(thread, _ALL_THREADS))
        seized |= new


def _seize(thread: int) -> bool:
    """Trace one thread, and have it stop; False if it has ended."""
    try:
        try:
            _ptrace(_PTRACE_SEIZE, thread, _OPTIONS)
        except PermissionError:
            # Ours already, since a thread that we trace began it? It stops by itself then.
            if f"TracerPid:\t{os.getpid()}\n" in Path(f"/proc/{thread}/status").read_text():
                return True
            raise
        _ptrace(_PTRACE_INTERRUPT, thread)
    except (ProcessLookupError, FileNotFoundError):
        return False
    return True


def _threads(process: int) -> set[int]:
    """All threads of a process and of its children."""
    found: set[int] = set()
    for task in Path(f"/proc/{process}/task").iterdir():
        found.add(int(task.name))
        for child in (task / "children").read_text().split():
            found |= _threads(int(child))
    return found


def _call_begun(thread: int, status: int) -> str:
    """The name of the call that the thread is about to make; empty if it is none that counts."""
    if os.WSTOPSIG(status) != _STOPPED_AT_CALL:
        return ""
    info = _CallInfo()
    try:
        _ptrace(_PTRACE_GET_SYSCALL_INFO, thread, ctypes.addressof(info), size=ctypes.sizeof(info))
    except ProcessLookupError:
        return ""
    return _COUNTED.get(info.number, "") if info.op == _ENTRY else ""


def _resume(thread: int, status: int) -> None:
    """Let it go on to its next call, with the signal for which it stopped, if it was one."""
    number = os.WSTOPSIG(status)
    event = status >> 16
    request, passed_on = _PTRACE_CONT_TO_CALL, 0
    if event == _EVENT_STOP and number in _JOB_CONTROL:
        request = _PTRACE_LISTEN
    elif not event and number != _STOPPED_AT_CALL:
        passed_on = number
    try:
        _ptrace(request, thread, passed_on)
    except ProcessLookupError:
        return  # killed meanwhile


def _ptrace(request: int, thread: int, data: int = 0, *, size: int = 0) -> None:
    if _libc.ptrace(request, thread, size, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    sys.exit(main())
