"""The ASGI target `mlapi.main:app`: the only module that acts when it is imported, and that nothing imports."""

import os

from mlapi.app import create_app
from mlapi.observability.logs import configure_logging
from mlapi.settings import read_settings

_settings = read_settings()
configure_logging(_settings.log_level)
app = create_app(_settings, os.environ)
