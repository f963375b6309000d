"""`mlapi key` makes keys that the service takes, and its file never holds a secret."""

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlapi.access.key_text import read_key
from mlapi.access.keyring import Keyring
from mlapi.access.keys_file import read_keys
from mlapi.cli.key import key


def run(*arguments: str | Path, given: str = "") -> Result:
    return CliRunner().invoke(key, [str(argument) for argument in arguments], input=given)


def valid(file: Path, text: str) -> bool:
    found = read_key(text.encode())
    return found is not None and Keyring(read_keys(file.read_bytes())).find(found) is not None


def test_a_key_is_shown_once_and_its_record_fits_a_file(tmp_path: Path) -> None:
    made = run("new", "--name", "shop", "--model", "project", "--days", "30")
    assert made.exit_code == 0
    text, file = made.stdout.strip(), tmp_path / "keys.json"
    file.write_text(made.stderr, encoding="utf-8")
    assert valid(file, text)
    assert text.split("_", 2)[2] not in made.stderr
    (record,) = json.loads(made.stderr)["keys"]
    assert (record["name"], record["models"]) == ("shop", ["project"])
    checked = run("check", file)
    assert (checked.exit_code, record["id"] in checked.stdout) == (0, True)
    assert "valid shop: project; predict; 20" in checked.stdout


def test_a_quota_is_part_of_the_record(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    options = ("--texts-per-second", "200", "--burst", "1000", "--texts-per-day", "2000000", "--cost-hit", "0.1")
    assert run("new", "--name", "shop", *options, "--file", file).exit_code == 0
    (record,) = json.loads(file.read_text(encoding="utf-8"))["keys"]
    assert record["quota"] == {
        "texts_per_second": 200.0,
        "burst": 1000,
        "texts_per_day": 2000000,
        "cost_hit": 0.1,
    }
    assert '"burst";q=1000;w=5, "daily";q=2000000;w=86400' in run("check", file).stdout


def test_keys_are_added_and_rotated_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    first = run("new", "--name", "shop", "--file", file).stdout.strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    other = run("new", "--name", "desk", "--scope", "predict", "--scope", "admin", "--file", file).stdout.strip()
    key_id = first.split("_")[1]
    second = run("new", "--rotate", key_id, "--file", file).stdout.strip()
    assert all(valid(file, text) for text in (first, second, other))
    assert "two secrets" in run("check", file).stdout
    for more in (("--scope", "predict"), ("--days", "3"), ("--name", "shop")):
        assert run("new", "--rotate", key_id, "--file", file, *more).exit_code == 2
    third = run("new", "--rotate", key_id, "--file", file).stdout.strip()
    assert [valid(file, text) for text in (first, second, third, other)] == [False, True, True, True]
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_a_single_key_is_checked_without_standing_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    text = run("new", "--name", "shop", "--file", file).stdout.strip()
    assert run("check", file, "--stdin", given=f"{text}\n").exit_code == 0
    assert run("check", file, "--stdin", given="mlapi_\n").exit_code == 1
    assert run("check", file, "--stdin", given=f"{text[:-3]}AAA\n").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["new"], 2),
        (["new", "--name", "x", "--model", "a b"], 2),
        (["new", "--name", "x", "--scope", "write"], 2),
        (["new", "--name", "x", "--burst", "5"], 2),
        (["new", "--name", "x", "--cost-hit", "0.5"], 2),
        (["new", "--rotate", "k3f9a1c2"], 2),
        (["new", "--rotate", "k3f9a1c2", "--file", "FILE", "--burst", "5"], 2),
        (["new", "--rotate", "k3f9a1c2", "--file", "FILE", "--model", "lab"], 2),
        (["new", "--rotate", "k3f9a1c2", "--file", "FILE"], 1),
        (["new", "--name", "x", "--file", "missing/keys.json"], 1),
        (["check", "missing.json"], 1),
        (["check", "BROKEN"], 1),
    ],
)
def test_wrong_usage_is_told_from_files_that_are_wrong(arguments: list[str], code: int, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text('{"keys": []}', encoding="utf-8")
    (tmp_path / "broken.json").write_text('{"keys": [{}]}', encoding="utf-8")
    names = {"FILE": str(tmp_path / "keys.json"), "BROKEN": str(tmp_path / "broken.json")}
    done = run(*(names.get(argument, argument) for argument in arguments))
    assert (done.exit_code, bool(done.stderr)) == (code, True)
    assert (tmp_path / "keys.json").read_text(encoding="utf-8") == '{"keys": []}'
