"""Configure structured logs: one event per line, as JSON or for the console.

Exception texts are left out, because they may quote names.
"""

import asyncio
import atexit
import json
import logging
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar, NamedTuple, TextIO, cast

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from shared.process.settings import LogSettings

STANDARD_OUTPUT, STANDARD_ERROR = 1, 2
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
# Like structlog's renderer, which however makes an encoder per line, a large part of the cost of a line.
_to_json = json.JSONEncoder(default=repr).encode
_NO_FIELDS: Mapping[str, Any] = MappingProxyType({})
log = structlog.get_logger()


def configure_logs(settings: LogSettings, service: str) -> None:
    """Configure this process's logs, including the loggers of the standard library."""
    output = _open_output()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_service(service),
        _describe_exception,
    ]
    renderer: Processor = (
        _render if settings.log_format == "json" else structlog.dev.ConsoleRenderer(colors=output.isatty())
    )
    lines = Lines(output)
    atexit.register(lines.write_out)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.log_level]),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, lines)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(cast(TextIO, lines))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_keep_first_line, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    as_json = settings.log_format == "json" and _LEVELS[settings.log_level] <= logging.INFO
    FrequentLine.output = _JsonOutput(lines, service) if as_json else None
    # Below warning, libraries log whole commands, names included.
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


class Lines:
    """A file whose lines are written together once per turn of the event loop.

    Many commands are answered in one turn. Lines that cannot be written are lost, and no call raises: a full
    disk or a closed reader must not affect anything else.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._waiting: list[str] = []
        self._flushes: asyncio.AbstractEventLoop | None = None  # the loop that will flush

    def write(self, line: str) -> None:
        self._waiting.append(line)

    def flush(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.write_out()
            return
        if self._flushes is not loop:
            self._flushes = loop
            loop.call_soon(self.write_out)

    def write_out(self) -> None:
        """Write the waiting lines, or lose them."""
        self._flushes = None
        lines, self._waiting = self._waiting, []
        with suppress(OSError, ValueError):
            self._file.write("".join(lines))
            self._file.flush()


class _JsonOutput(NamedTuple):
    lines: Lines
    service: str


class FrequentLine:
    """A line at level info that is written for every request, with the same `fields` each time.

    As JSON its text is rendered once and filled in afterwards, which takes a fraction of structlog's time.
    """

    output: ClassVar[_JsonOutput | None] = None
    """Where JSON lines at level info go; None if structlog decides what becomes of them."""
    _GAP = "\0"

    def __init__(self, event: str, **fields: Any) -> None:
        self._event, self._fields = event, fields
        self._parts: list[str] = []

    def write(self, ms: float, request_id: str, more: Mapping[str, Any] = _NO_FIELDS) -> None:
        """Write the line, with `more` fields.

        `request_id` has only characters that JSON does not escape.
        """
        if self.output is None:
            log.info(self._event, **self._fields, **more, ms=ms, request_id=request_id)
            return
        if not self._parts:
            self._parts = self._render(self.output.service)
        before_ms, before_id, before_time, rest = self._parts
        now = datetime.now(UTC).isoformat().removesuffix("+00:00")
        lines = self.output.lines
        if more:
            rest = f"{rest[:-1]}, {_to_json(more)[1:]}"
        lines.write(f'{before_ms}{ms}{before_id}"{request_id}"{before_time}"{now}Z"{rest}\n')
        lines.flush()

    def _render(self, service: str) -> list[str]:
        """The parts of the JSON text that stand before, between and after the values that differ."""
        line = {**self._fields, "ms": self._GAP, "event": self._event, "request_id": self._GAP}
        line |= {"level": "info", "timestamp": self._GAP, "service": service}
        return _to_json(line).split(_to_json(self._GAP))


def _open_output() -> TextIO:
    """Open standard output again, because Python changes the exit code if `sys.stdout` fails at exit.

    A closed standard file becomes `/dev/null`. Otherwise the event loop would get its number for a file of
    its own, and libuv aborts the process when it closes that number.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        os.set_inheritable(number, True)
    os.close(number)
    return open(os.dup(STANDARD_OUTPUT), "w", encoding="utf-8", errors="backslashreplace")  # noqa: PTH123


def _name_service(service: str) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return add


def _render(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return _to_json(event)


def _keep_first_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep the first line: asyncio appends the exception's text, which may contain a whole document."""
    event["event"] = str(event["event"]).partition("\n")[0]
    return event


def _describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace an exception by its type and its frames; its text may contain a whole document."""
    raised = event.pop("exc_info", None)
    if raised is True:
        raised = sys.exc_info()
    error = raised[1] if isinstance(raised, tuple) else raised
    if isinstance(error, BaseException):
        event["exception"] = type(error).__qualname__
        event["raised_at"] = _frames(error.__traceback__)
    return event


def _frames(trace: TracebackType | None) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]
