"""supervisord that survives a full disk: unwritable logs are dropped, no program is given up.

supervisord itself ends, or stops reading a program's output, when a log cannot be written: it
reports the failed write on a stream that fails for the same reason. It also gives a program up
after a number of failed starts, so a shortage longer than these tries needs a person.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from supervisor import events, loggers
from supervisor.medusa import asyncore_25 as asyncore
from supervisor.options import ServerOptions
from supervisor.supervisord import Supervisor

#: A failed start delays the next one by a second more each time, up to about twice this.
MAX_DELAY_S = 5


class LossyFileHandler(loggers.RotatingFileHandler):  # type: ignore[misc]  # it has no types
    """A log file with rotation; what cannot be written is dropped, and the file is tried again."""

    stream: BinaryIO

    def emit(self, record: loggers.LogRecord) -> None:
        """Write the record, or drop it."""
        # ValueError: a rotation that failed half way leaves its stream closed.
        with contextlib.suppress(OSError, ValueError):
            if self.stream.closed:
                self.stream = Path(self.baseFilename).open("ab")  # noqa: SIM115 - it is kept
            super().emit(record)

    def handleError(self) -> None:  # noqa: N802 - the library's name
        """Report nothing: standard error may stand on the same full disk."""


class OneSystemOptions(ServerOptions):  # type: ignore[misc]  # it has no types
    """The options of a supervisord that a SIGHUP does not end.

    To read its configuration again, supervisord stops every program; only `orch up` starts them.
    """

    def setsignals(self) -> None:
        """Handle the signals of supervisord, and ignore SIGHUP in this process alone."""
        super().setsignals()
        # An ignored signal would stay ignored in workers and agents; a handler is not inherited.
        signal.signal(signal.SIGHUP, lambda *_: None)


def main(arguments: Sequence[str]) -> None:
    """Run supervisord until it is told to end."""
    loggers.RotatingFileHandler = LossyFileHandler
    options = OneSystemOptions()
    options.realize(list(arguments))
    options.first, options.test = True, False
    manager = Supervisor(options)
    events.subscribe(events.Tick5Event, lambda _: keep_trying(manager))
    with contextlib.suppress(asyncore.ExitNow):
        manager.main()
    options.close_httpservers()
    options.close_logger()


def keep_trying(manager: Supervisor) -> None:
    """Keep every program's count of failed starts below the number at which it is given up."""
    for group in manager.process_groups.values():
        for process in group.processes.values():
            process.backoff = min(process.backoff, MAX_DELAY_S)


if __name__ == "__main__":
    main(sys.argv[1:])
