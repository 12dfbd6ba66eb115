"""The user of a container: the owner of its workspace, or a user to whom root lends its folder."""

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


#: A user whose number no account of a usual host has.
BORROWER = Owner(10_001, 10_001)
_ROOT_UID = 0


@dataclass
class _Loan:
    lender: Owner
    borrowers: int = 0


class Loans:
    """The folders that are lent now; several programs may use one folder at a time."""

    def __init__(self) -> None:
        self._loans: dict[Path, _Loan] = {}
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, folder: Path) -> Iterator[Owner]:
        """Lend a folder of root to `BORROWER` in the context; no other folder is changed.

        After the last borrower, everything below belongs to its owner again. No link out of the
        folder is followed, and the kernel clears the setuid bits at a change of owner.

        Raises:
            WorkspaceLost: the folder does not exist.
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
    # -P: no link is followed. A file that another process removes meanwhile is no fault.
    argv = ("chown", "-RP", f"{to.uid}:{to.gid}", "--", str(folder))
    subprocess.run(argv, check=False, capture_output=True, timeout=_CHOWN_WITHIN_S)
