"""Parameters are read whole or refused, and a profile is laid over them."""

from pathlib import Path

import pytest

from training.params import DEFAULT, ParamsError, digest, read_params

SMALL = DEFAULT.with_name("small.yaml")
BOTH = "labels: {'0': NEGATIVE, '1': POSITIVE}, ignore: ['1', '2']"


def overlaid(tmp_path: Path, text: str) -> list[Path]:
    over = tmp_path / "over.yaml"
    over.write_text(text, encoding="utf-8")
    return [DEFAULT, over]


def test_the_shipped_files_can_be_read_alone_and_together() -> None:
    assert set(read_params([DEFAULT]).models) == {"lab", "lab-three", "project", "project-three"}
    assert set(read_params([DEFAULT, SMALL]).models) == {"lab", "project"}


def test_null_removes_and_mappings_are_merged(tmp_path: Path) -> None:
    others = "project: null, lab-three: null, project-three: null"
    text = f"models: {{{others}, lab: {{building: {{C: 1.5}}, gate: {{behaviour: null}}}}}}"
    before, after = read_params([DEFAULT]).models["lab"], read_params(overlaid(tmp_path, text)).models
    assert list(after) == ["lab"]
    assert after["lab"].building.C == 1.5  # type: ignore[union-attr]
    assert (after["lab"].gate.behaviour, after["lab"].gate.accuracy) == ({}, before.gate.accuracy)
    assert digest(after["lab"]) != digest(before)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: {lab: {building: {Cc: 1}}}", "unknown field `Cc`"),
        ("models: {lab: {building: {C: -1}}}", "building.C"),
        ("models: {lab: {building: {kind: encoder, C: null, search: null}}}", "of two kinds"),
        ("models: {lab: {labels: [NEGATIVE]}}", "the data have labels that the model has not: POSITIVE"),
        ("models: {lab: {data: {train: []}}}", "nothing to train on"),
        (
            f"models: {{lab: {{data: {{evaluate: [{{name: x, file: x, sha256: {'a' * 64}, {BOTH}}}]}}}}}}",
            "a label is ignored and translated: 1",
        ),
        ("models: {project: {features: {detokenized: 1.5}}}", r"features\.detokenized"),
        ("models: {lab: {data: {evaluate: []}}}", "nothing to evaluate with"),
        ("models: {lab: {gate: {accuracy: {SST-2 dev: null}}}}", "the gate asks for nothing"),
        ("models: [", "over.yaml"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        read_params(overlaid(tmp_path, text))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ParamsError, match=r"nowhere\.yaml"):
        read_params([Path("nowhere.yaml")])
