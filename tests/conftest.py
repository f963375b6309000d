"""Fixtures that several kinds of test share, and what has to be settled before any test module is imported."""

from hypothesis import HealthCheck, settings

from mlapi.engines.telemetry import decline

pytest_plugins = ("tests.postgres_fixture", "tests.redis_fixture")

# Whichever test module imports OpenVINO first: with the reporter, every conversion of a model forks a process that
# sends an event, and a whole run of the tests spends a minute on that.
decline()

# Other work on the machine is no failure: neither of a property nor of the making of its examples.
settings.register_profile("mlapi", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mlapi")
