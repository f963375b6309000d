"""OpenVINO reports its use to nobody."""

import subprocess
import sys

from tests.architecture.source_rules import ROOT


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_openvino_starts_no_reporter() -> None:
    code = """
from mlapi.engines.telemetry import decline
decline()
import sys, threading
import openvino
print(sys.modules["openvino_telemetry"], threading.active_count())
"""
    assert run(code) == "None 1\n"


def test_loading_the_engine_starts_no_reporter() -> None:
    code = """
import sys, threading
from mlapi.bundles.store import open_bundle
from mlapi.engines.registry import load_engine
from mlapi.settings import DEFAULT_BUNDLE
load_engine("openvino", open_bundle(DEFAULT_BUNDLE), 1)
print(sys.modules["openvino_telemetry"])
"""
    assert run(code) == "None\n"


def test_nor_does_whatever_test_imports_it_first() -> None:
    assert sys.modules["openvino_telemetry"] is None
