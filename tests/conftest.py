"""Fixtures that several kinds of test share, and what has to be settled before any test module is imported."""

from mlapi.engines.telemetry import decline

pytest_plugins = ("tests.postgres_fixture", "tests.redis_fixture")

# Whichever test module imports OpenVINO first: with the reporter, every conversion of a model forks a process that
# sends an event, and a whole run of the tests spends a minute on that.
decline()
