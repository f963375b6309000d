"""Structured logs: one JSON object a line on standard error, never with a text in it."""

import logging
import logging.config
from typing import Final

from pythonjsonlogger.core import RESERVED_ATTRS

_QUIET: Final = ("httpx", "httpcore", "asyncio")


def configure_logging(level: str) -> None:
    """Send all logs of this process, those of uvicorn included, as JSON lines to standard error.

    Args:
        level: least severe level that is logged, such as `info`.
    """
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": "pythonjsonlogger.json.JsonFormatter",
                    "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
                    "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
                    "datefmt": "%Y-%m-%dT%H:%M:%S%z",
                    # uvicorn's messages come a second time with terminal colours.
                    "reserved_attrs": [*RESERVED_ATTRS, "color_message"],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {name: {"level": "WARNING"} for name in _QUIET},
        }
    )
