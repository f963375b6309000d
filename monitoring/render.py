"""Writes the files that are made from the dashboards and the rules: `python -m monitoring.render`."""

from pathlib import Path
from typing import Final

from monitoring.dashboards.catalogue import DASHBOARDS
from monitoring.dashboards.grafana import grafana_json

FOLDER: Final = Path(__file__).resolve().parent
COMPONENT: Final = FOLDER.parent / ".k8s" / "components" / "monitoring"

_RULE_HEAD: Final = """\
# Written by `python -m monitoring.render` from monitoring/rules; a test proves it fresh.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: mlapi
  labels:
    app.kubernetes.io/name: mlapi
    release: kube-prometheus-stack
spec:
  groups:
"""


def rendered() -> dict[str, str]:
    """Return the text of every rendered file by its path in the kustomize component `monitoring`."""
    files = {f"dashboards/{page.name}.json": grafana_json(page) for page in DASHBOARDS}
    return files | {"prometheus-rule.yaml": _RULE_HEAD + "\n".join(_groups(path) for path in _rule_files())}


def _rule_files() -> list[Path]:
    return sorted((FOLDER / "rules").glob("*.yaml"), reverse=True)


def _groups(path: Path) -> str:
    """Return the groups of a rule file as they stand, comments included, indented as in a PrometheusRule."""
    _, _, groups = path.read_text(encoding="utf-8").partition("\ngroups:\n")
    return "".join(f"  {line}" if line.strip() else line for line in groups.splitlines(keepends=True))


if __name__ == "__main__":
    for name, text in rendered().items():
        (COMPONENT / name).write_text(text, encoding="utf-8")
