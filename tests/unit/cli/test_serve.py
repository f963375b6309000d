"""Threads take turns more often while a model is loaded, and as usual from then on."""

import sys
from pathlib import Path

import pytest

from mlapi.cli import serve
from mlapi.errors import BundleError
from mlapi.settings import LAB_BUNDLE, read_settings
from tests.service_process import eventually


def test_threads_take_turns_as_before_once_the_model_is_loaded() -> None:
    usual = sys.getswitchinterval()
    (model,) = serve._begin_to_load(read_settings({"MLAPI_BUNDLE": str(LAB_BUNDLE)})).result()
    model.executor.close()
    # Who waits for the model may see it a moment before.
    eventually(lambda: sys.getswitchinterval() == usual, "as before")


def test_and_once_it_cannot_be_loaded(tmp_path: Path) -> None:
    usual = sys.getswitchinterval()
    with pytest.raises(BundleError):
        serve._begin_to_load(read_settings({"MLAPI_BUNDLE": str(tmp_path)})).result()
    eventually(lambda: sys.getswitchinterval() == usual, "as before")
