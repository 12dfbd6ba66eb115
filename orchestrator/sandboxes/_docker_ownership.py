"""Who a container runs as: the owner of its workspace, to whom root lends what is its own."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import WorkspaceLost

_CHOWN_WITHIN_S = 600.0


class Owner(NamedTuple):
    """A user and group of this host, by number."""

    uid: int
    gid: int


#: Nobody's: no account of a usual host has this number.
BORROWER = Owner(10_001, 10_001)
_ROOT_UID = 0


@dataclass
class _Loan:
    lender: Owner
    borrowers: int = 0


class Loans:
    """What is lent now; several programs may work in one folder at a time."""

    def __init__(self) -> None:
        self._loans: dict[Path, _Loan] = {}
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, folder: Path) -> Iterator[Owner]:
        """Lend a folder of root's to `BORROWER` meanwhile; another's stays its owner's.

        When the last borrower has left, everything below is its owner's again. Nothing is followed
        out of the folder, and the kernel takes the setuid bits off what changes hands.

        Raises:
            WorkspaceLost: the folder is not there.
        """
        with self._lock:
            loan = self._loans.get(folder)
            if loan is None:
                owner = _owner(folder)
                if owner.uid == _ROOT_UID:
                    loan = self._loans[folder] = _Loan(owner)
                    _chown(folder, BORROWER)
            if loan is not None:
                loan.borrowers += 1
        if loan is None:
            yield owner
            return
        try:
            yield BORROWER
        finally:
            with self._lock:
                loan.borrowers -= 1
                if not loan.borrowers:
                    del self._loans[folder]
                    _chown(folder, loan.lender)


def _owner(folder: Path) -> Owner:
    try:
        found = folder.stat()
    except OSError as error:
        msg = f"{folder}: {error.strerror}."
        raise WorkspaceLost(msg) from error
    return Owner(found.st_uid, found.st_gid)


def _chown(folder: Path, to: Owner) -> None:
    # -P: no link is followed. What another process removes meanwhile is no fault.
    argv = ("chown", "-RP", f"{to.uid}:{to.gid}", "--", str(folder))
    subprocess.run(argv, check=False, capture_output=True, timeout=_CHOWN_WITHIN_S)
