"""Runs import-linter on the package, and on copies of it with a forbidden import, which it must find."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source_rules import ROOT

HEAVY = (
    "huggingface_hub", "nncf", "openvino", "safetensors", "scipy", "sklearn", "tokenizers", "torch", "transformers",
)  # fmt: skip


def lint(folder: Path) -> tuple[int, str]:
    """Exit code and output of import-linter in a folder that holds the package."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "mlapi", tmp_path / "mlapi", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_the_layers_hold(copy: Path) -> None:
    code, output = lint(copy)
    assert code == 0, output


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        ("mlapi/errors.py", "import mlapi.bundles.store", "mlapi.errors is not allowed to import mlapi.bundles"),
        ("mlapi/cache/l1.py", "import mlapi.settings", "mlapi.cache is not allowed to import mlapi.settings"),
        ("mlapi/cache/l1.py", "import mlapi.engines.base", "mlapi.cache is not allowed to import mlapi.engines"),
        ("mlapi/server/protocol.py", "import mlapi.server.fast_path", "mlapi.server.protocol is not allowed to import"),
        ("mlapi/api/route.py", "import mlapi.server.protocol", "mlapi.api is not allowed to import mlapi.server"),
        ("mlapi/predictor.py", "def hidden() -> None:\n    import torch", "mlapi is not allowed to import torch"),
        ("mlapi/engines/linear.py", "import training.lab", "mlapi is not allowed to import training"),
        ("mlapi/engines/linear.py", "import sklearn", "mlapi is not allowed to import sklearn"),
        ("mlapi/engines/executor.py", "import openvino", "mlapi is not allowed to import openvino"),
    ],
    ids=[
        "upwards",
        "settings from below",
        "sideways",
        "the fast path",
        "the server from below",
        "torch, hidden in a function",
        "training code",
        "what training needs",
        "another engine's library",
    ],
)
def test_a_forbidden_import_is_found(copy: Path, module: str, line: str, said: str) -> None:
    with (copy / module).open("a", encoding="utf-8") as file:
        file.write(f"\n\n{line}\n")
    code, output = lint(copy)
    assert code == 1
    assert said in output


def test_a_module_without_a_layer_is_found(copy: Path) -> None:
    (copy / "mlapi" / "stray.py").write_text('"""Belongs nowhere."""\n', encoding="utf-8")
    code, output = lint(copy)
    assert code == 1
    assert "stray" in output


def test_the_service_imports_no_heavy_library() -> None:
    code = f"import sys, mlapi.app; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_serving_the_linear_model_imports_no_heavy_library_either() -> None:
    code = f"""
import sys, time
from pathlib import Path
import mlapi.app
from mlapi.model import load
load(Path("models/tfidf-logreg-sst2"), engine="", threads=1, clock=time.monotonic).executor.close()
print(*[name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
