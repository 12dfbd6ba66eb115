"""Structured logs on stderr with bound ids: JSON lines, or plain text on a terminal."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    # It takes 50 ms to load: a command that logs nothing does without.
    import structlog


def configure_logging(*, level: int = logging.INFO, secrets: Collection[str] = ()) -> None:
    """Write all logs, also those of libraries, to stderr in one format; mask `secrets` in them."""
    import structlog  # noqa: PLC0415 - as above

    # JSON escapes some characters, so both forms are masked, the longest text first.
    written = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1])}
    hidden = sorted(written, key=len, reverse=True)

    def mask(_logger: object, _method: str, line: structlog.typing.EventDict | str) -> str:
        text = str(line)
        for secret in hidden:
            text = text.replace(secret, "[secret]")
        return text

    shared: tuple[structlog.typing.Processor, ...] = (
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    )
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer(default=str)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer, mask],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )


def configure_when_needed(*, level: int) -> None:
    """Do as `configure_logging` when the first line is logged, by us or by a library."""
    logging.basicConfig(level=level, handlers=[_Unconfigured(level)], force=True)


class _Unconfigured(logging.Handler):
    """Stands for the handler of `configure_logging` until the first line."""

    def emit(self, record: logging.LogRecord) -> None:
        configure_logging(level=self.level)
        logging.getLogger(record.name).handle(record)


def _ignore(*_event: object, **_facts: object) -> None:
    """Log nothing: the line is below the level."""


@dataclass(frozen=True)
class _Logger:
    """A logger of structlog that loads it with the first line."""

    component: str

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        for handler in logging.root.handlers:
            if isinstance(handler, _Unconfigured):
                if logging.getLevelNamesMapping().get(name.upper(), handler.level) < handler.level:
                    return _ignore
                configure_logging(level=handler.level)
        import structlog  # noqa: PLC0415 - as above

        return getattr(structlog.get_logger(component=self.component), name)


def get_logger(component: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of one component; each of its lines has the field `component`."""
    return cast("structlog.typing.FilteringBoundLogger", _Logger(component))


def about(agent_id: str) -> AbstractContextManager[None]:
    """Add the field `agentId` to all log lines of this context, also those of libraries."""
    import structlog  # noqa: PLC0415 - as above

    return structlog.contextvars.bound_contextvars(agentId=agent_id)
