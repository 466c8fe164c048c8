"""Rights are lent for one call, whole or not at all, and given back whatever happens."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from lmtpd.delivery.rights import Capabilities, Ids, Kernel, Rights, _setgroups_number
from tests.support.lent import OUR_CAPABILITIES, OURS, LendingKernel

ALICE, BOB = Ids(OURS.uid + 1, 4712, (4712, 27)), Ids(OURS.uid + 2, 4713, ())
LENDING = ["set_groups", "set_fsgid", "set_fsuid", "set_capabilities"]
RETURNING = ["set_capabilities", *LENDING]


class EndedError(BaseException):
    """The process would have ended."""


def end() -> None:
    raise EndedError


@pytest.fixture
def kernel() -> LendingKernel:
    return LendingKernel()


@pytest.fixture
def rights(kernel: LendingKernel) -> Rights:
    return Rights(kernel, end)


def test_a_thread_has_the_rights_of_a_user_and_no_capability(
    rights: Rights, kernel: LendingKernel
) -> None:
    with rights.of(ALICE):
        assert kernel.ids == ALICE
        assert kernel.effective == (0, 0)
        assert kernel.calls == LENDING, "what needs a capability comes first"
    assert kernel.is_ours
    assert kernel.calls == LENDING + RETURNING


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "x"), KeyboardInterrupt()], ids=repr)
def test_they_are_given_back_whatever_happens(
    error: BaseException, rights: Rights, kernel: LendingKernel
) -> None:
    with pytest.raises(type(error)), rights.of(ALICE):
        raise error
    assert kernel.is_ours


@pytest.mark.parametrize("count", range(4))
def test_rights_that_are_refused_half_way_are_given_back(
    count: int, rights: Rights, kernel: LendingKernel
) -> None:
    refused = False

    def refuse_once(call: str) -> None:
        nonlocal refused
        kernel.calls.append(call)
        if len(kernel.calls) > count and not refused:
            refused = True
            raise PermissionError(errno.EPERM, call)

    kernel._write_down = refuse_once  # type: ignore[method-assign]
    with pytest.raises(PermissionError), rights.of(ALICE):
        pytest.fail("acted without the rights")
    assert kernel.is_ours


@pytest.mark.parametrize("count", range(4, 9))
def test_who_cannot_be_himself_again_ends(
    count: int, rights: Rights, kernel: LendingKernel
) -> None:
    kernel.refuse_since = count
    with pytest.raises(EndedError), rights.of(ALICE):
        pass


def test_nobody_goes_on_should_the_end_not_come(kernel: LendingKernel) -> None:
    kernel.refuse_since = 4
    with pytest.raises(PermissionError), Rights(kernel, lambda: None).of(ALICE):
        pass


def test_they_are_not_lent_twice(rights: Rights, kernel: LendingKernel) -> None:
    """The inner context would give back what the outer one needs still, and root would write."""
    with rights.of(ALICE):
        with pytest.raises(RuntimeError), rights.of(BOB):
            pytest.fail("lent twice")
        assert kernel.ids == ALICE
        assert kernel.effective == (0, 0)
    assert kernel.is_ours


def test_the_check_tries(rights: Rights, kernel: LendingKernel) -> None:
    rights.check()
    assert kernel.is_ours
    kernel.calls.clear()
    kernel.refuse_since = 0
    with pytest.raises(EndedError):
        rights.check()


# The calls themselves. What needs root is tried there too; here, what the C library can answer.


class Library:
    """A C library that answers as it is told, and changes nothing."""

    def __init__(self, answer: int = 0, ids: tuple[int, int] = (0, 0)) -> None:
        self.answer = answer
        self.fsuid, self.fsgid = ids
        self.called: list[tuple[int, ...]] = []

    def setfsuid(self, uid: int) -> int:
        self.called.append((uid,))
        return self.fsuid

    def setfsgid(self, gid: int) -> int:
        self.called.append((gid,))
        return self.fsgid

    def syscall(self, number: ctypes.c_long, count: ctypes.c_size_t, groups: object) -> int:
        self.called.append((number.value, count.value, *groups))  # type: ignore[misc]
        return self._answered()

    def capget(self, _: object, found: ctypes.Array[ctypes.c_uint32]) -> int:
        found[:] = list(OUR_CAPABILITIES)
        return self._answered()

    def capset(self, header: ctypes.Array[ctypes.c_uint32], wanted: object) -> int:
        self.called.append((*header, *wanted))  # type: ignore[misc]
        return self._answered()

    def _answered(self) -> int:
        ctypes.set_errno(errno.EPERM if self.answer else 0)
        return self.answer


def kernel_of(library: Library) -> Kernel:
    return Kernel(library)  # type: ignore[arg-type]


def test_ids_are_set_and_asked_for_again() -> None:
    library = Library(ids=(4711, 4712))
    kernel_of(library).set_fsuid(4711)
    kernel_of(library).set_fsgid(4712)
    assert library.called == [(4711,), (2**32 - 1,), (4712,), (2**32 - 1,)]


@pytest.mark.parametrize("set_id", ["set_fsuid", "set_fsgid"])
def test_an_id_that_is_not_in_force_is_an_error(set_id: str) -> None:
    """setfsuid(2) says nothing of a failure."""
    with pytest.raises(PermissionError, match=set_id.removeprefix("set_")):
        getattr(kernel_of(Library()), set_id)(4711)


def test_a_large_id_is_not_negative() -> None:
    assert kernel_of(Library(ids=(-2, 0))).fsuid() == 2**32 - 2


def test_groups_are_set_and_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    library, in_force = Library(), iter([[27], [27, 4712]])
    monkeypatch.setattr(os, "getgroups", lambda: next(in_force))
    kernel_of(library).set_groups((4712, 27))
    assert library.called[0][1:] == (2, 4712, 27)


def test_groups_that_are_not_in_force_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getgroups", lambda: [27])
    with pytest.raises(OSError, match="setgroups"):
        kernel_of(Library()).set_groups((4712,))
    with pytest.raises(PermissionError, match="setgroups"):
        kernel_of(Library(-1)).set_groups((4712, 27))
    kernel_of(Library(-1)).set_groups((27,))


def test_who_may_not_lend_stays_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has to be taken back that needs the right to do so."""
    monkeypatch.setattr(os, "getgroups", lambda: [27])
    library = Library(-1)
    monkeypatch.setattr(library, "capget", lambda *_: 0)
    monkeypatch.setattr(library, "capset", lambda *_: 0)
    library.fsuid, library.fsgid = OURS.uid, OURS.gid
    with pytest.raises(PermissionError, match="setgroups"):
        Rights(kernel_of(library), end).check()


def test_capabilities() -> None:
    library = Library()
    assert tuple(kernel_of(library).capabilities()) == OUR_CAPABILITIES
    kernel_of(library).set_capabilities(Capabilities(1, 2, 3, 4, 5, 6))
    assert library.called == [(0x20080522, 0, 1, 2, 3, 4, 5, 6)]
    for call in ("capabilities", "set_capabilities"):
        arguments = (Capabilities(),) if call == "set_capabilities" else ()
        with pytest.raises(PermissionError):
            getattr(kernel_of(Library(-1)), call)(*arguments)


@pytest.mark.parametrize(
    ("machine", "is_64", "number"),
    [
        ("x86_64", True, 116),
        ("aarch64", True, 159),
        ("riscv64", True, 159),
        ("ppc64le", True, 81),
        ("s390x", True, 206),
        ("x86_64", False, 206),  # a Python of 32 bits
        ("armv7l", False, 206),
    ],
)
def test_each_machine_has_its_number_of_setgroups(machine: str, is_64: bool, number: int) -> None:
    assert _setgroups_number(machine, is_64=is_64) == number


def test_the_real_kernel_knows_who_we_are() -> None:
    kernel = Kernel()
    assert kernel.fsuid() == OURS.uid
    kernel.set_fsuid(OURS.uid)
    kernel.set_fsgid(OURS.gid)
    found = kernel.capabilities()
    kernel.set_capabilities(found)
    status = Path("/proc/thread-self/status").read_text()
    effective = found[0] | found[3] << 32
    assert f"CapEff:\t{effective:016x}\n" in status
    with pytest.raises(PermissionError):
        kernel.set_fsuid(2**32 - 1)  # no id
    assert kernel.fsuid() == OURS.uid


def test_the_end_is_that_of_the_process(
    kernel: LendingKernel, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """At once, with no words but to the operator."""
    codes = []

    def leave(code: int) -> None:
        codes.append(code)
        raise EndedError

    monkeypatch.setattr(os, "_exit", leave)
    kernel.refuse_since = 4
    with pytest.raises(EndedError), Rights(kernel).of(ALICE):
        pass
    assert codes == [os.EX_SOFTWARE]
    assert "rights of a user" in capfd.readouterr().err
