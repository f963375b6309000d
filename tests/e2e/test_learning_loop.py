"""From opinions to a better model that is served, and back: the learning loop with real processes.

With `-s` it prints the rows of the runs with their times, and where the models came from.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from mlapi.bundles.store import describe_file, read_manifest
from mlapi.engines.linear import WEIGHTS
from tests.command_line import mlapi
from tests.learning import WHOLE, Deployment, git
from tests.opinions import SPREAD, TEXTS, drift_alert
from tests.service_process import ServiceProcess, run_mlapi
from tools.private_redis import PrivateRedis, free_port
from training.params import DEFAULT
from training.pipeline import main as train

PARAMS = [part for name in ("params", "learning") for part in ("--params", str(DEFAULT.with_name(f"{name}.yaml")))]
TURNED = {"POSITIVE": "NEGATIVE", "NEGATIVE": "POSITIVE"}


@dataclass(frozen=True, slots=True)
class Site:
    """The deployment: what is common to its processes."""

    deployment: Deployment
    first: Path
    redis_url: str
    port: int

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.deployment.settings)

    def bundle(self) -> Path:
        """Return the bundle that the overlay names, as whoever deploys finds it."""
        digest = git(self.deployment.repository, "show", "main:overlays/prod/model.yaml").split("/models/")[1].strip()
        kept = self.deployment.folder / "learning/bundles" / digest
        return kept if kept.exists() else self.first

    def serve(self) -> ServiceProcess:
        """Serve it; opinions are taken in the same process."""
        shared: dict[str, Any] = {name: value for name, value in self.settings.items() if name != "learn_file"}
        return ServiceProcess(
            bundle=str(self.bundle()), root_path="/lab", cache="both", redis_url=self.redis_url, port=str(self.port),
            client_header="x-user", feedback_votes_per_minute="0", feedback_ask_share="1", **shared,
        )  # fmt: skip

    def learn(self, *arguments: str) -> str:
        code, said = mlapi(self.settings, "learn", *arguments)
        assert code == 0, said
        return said

    def tick(self) -> None:
        settings = {f"MLAPI_{name.upper()}": value for name, value in self.settings.items()}
        done = run_mlapi("learn", "tick", settings=settings, timeout_s=300)
        assert done.returncode == 0, done.stderr + done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A deployment whose model was trained on made-up sentences alone."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "key").write_text("7" * 64, encoding="ascii")
    train(["lab", *PARAMS, "--results", str(folder / "first")])
    first = folder / "first/lab/bundle/lab-learning"
    settings = {
        "feedback_url": f"sqlite:///{folder}/feedback.db",
        "feedback_key_file": str(folder / "key"),
        "learn_file": str(folder / "learning.toml"),
    }
    deployment = Deployment(folder, lambda: pytest.fail("the commands are asked"), settings)
    deployment.make_repository(read_manifest(first).digest)
    port = free_port()
    with PrivateRedis() as redis:
        made = Site(deployment, first, redis.url, port)
        write_plan(made)
        yield made


def write_plan(site: Site, made: Path | None = None, **contest: object) -> None:
    """Write the plan; with `made` a training that leaves this bundle, and with `contest` other bounds of the gate."""
    command = [sys.executable, "-m", "training.pipeline", "lab", *PARAMS, "--results", "{results}"]
    command += ["--champion", "{champion}", "--feedback", "{dataset}"]
    bundle, experiment = "{results}/lab/bundle/lab-learning", "{results}/lab/experiment_info.json"
    if made is not None:
        command, bundle, experiment = ["true"], str(made), ""
    judge = [sys.executable, "-m", "training.judging", "lab", "{candidate}", *PARAMS]
    judge += ["--champion", "{champion}", "--output", "{report}"]
    bounds = {"fresh_texts": 10, "subject_share": 0.15} | contest
    site.deployment.folder.joinpath("learning.toml").write_text(
        f"""
folder = {json.dumps(str(site.deployment.folder / "learning"))}
[models.lab]
champion = {json.dumps(str(site.first))}
train = [{json.dumps(command)}]
judge = {json.dumps(judge)}
bundle = {json.dumps(bundle)}
experiment = {json.dumps(experiment)}
snapshot = {{ texts = 10, judging = 0.4, subject_share = 0.15 }}
contest = {{ {", ".join(f"{name} = {json.dumps(value)}" for name, value in bounds.items())} }}
overlay = {{ repository = "{site.deployment.repository}", branch = "main", file = "overlays/prod/model.yaml" }}
canary = {{ url = "http://127.0.0.1:{site.port}/lab/model" }}
""",
        encoding="utf-8",
    )


def vote(service: ServiceProcess, ids: dict[str, str], user: str, labels: dict[str, str]) -> None:
    votes = [{"id": ids[text], "label": label, "text": text, "consent": True} for text, label in labels.items()]
    sent = service.client.post("/lab/feedback", json={"feedback": votes}, headers={"x-user": user})
    assert sent.status_code in {200, 201}, sent.text


def ask(service: ServiceProcess) -> dict[str, str]:
    """Ask all 400 texts; return the ids of the answers."""
    details = service.predict(list(TEXTS), query="?detail=true").json()["details"]
    return {text: detail["id"] for text, detail in zip(TEXTS, details, strict=True)}


def give_opinions(service: ServiceProcess) -> None:
    """Give 120 opinions of 40 subjects: 90 honest ones on 45 texts, and 30 of one who poisons."""
    ids, chosen = ask(service), [*SPREAD[0][:45], *SPREAD[1][:15]]
    for place, text in enumerate(chosen[:45]):
        for subject in (place % 39, (place + 7) % 39):
            vote(service, ids, f"user-{subject}", {text: TEXTS[text]})
    for place in range(5):  # the same again, and somebody who changes their mind and back
        vote(service, ids, f"user-{place}", {chosen[place]: TEXTS[chosen[place]]})
        vote(service, ids, f"user-{place}", {chosen[place]: TURNED[TEXTS[chosen[place]]]})
        vote(service, ids, f"user-{place}", {chosen[place]: TEXTS[chosen[place]]})
    vote(service, ids, "poisoner", {text: TURNED[TEXTS[text]] for text in chosen[30:]})


def alert(site: Site) -> Sequence[str]:
    """Let Alertmanager tell `mlapi learn serve` twice that the predictions drift; return the runs asked for."""
    fired = drift_alert("2026-11-29T20:00:00Z")
    with ServiceProcess(command=("learn", "serve"), bundle=str(site.first), root_path="/lab", **site.settings) as learn:
        first, again = (learn.client.post("/learn/alerts", json=fired) for _ in range(2))
        assert (first.status_code, again.status_code) == (202, 202)
        assert again.json() == {"asked": 1, "new": []}
        new: list[str] = first.json()["new"]
        return new


def latest(site: Site) -> dict[str, Any]:
    (row,) = json.loads(site.learn("status", "--json", "--count", "1"))
    found: dict[str, Any] = row
    return found


def wrong(service: ServiceProcess) -> int:
    """Return how many of the 400 texts are answered wrongly."""
    answers = service.predict(list(TEXTS)).json()["predictions"]
    return sum(answer[0]["label"] != label for answer, label in zip(answers, TEXTS.values(), strict=True))


@pytest.mark.timeout(240)
def test_opinions_become_a_better_model_and_a_bad_one_is_taken_back(site: Site, tmp_path: Path) -> None:
    with site.serve() as service:
        before, errors = service.predict("the film is snazzy").json(), wrong(service)
        first_digest = service.client.get("/lab/model").json()["bundle_digest"]
        give_opinions(service)
        judged = json.loads(site.learn("evaluate", "--model", "lab", "--json"))
        assert (judged["opinions"], judged["subjects"]) == (120, 40)
        (run,) = alert(site)
        site.tick()
        row = latest(site)
        assert (row["id"], row["state"], row["champion"]) == (run, "canary", first_digest), row
        assert row["reason"] == "alert MlapiPredictionDrift since 2026-11-29T20:00:00Z"
        # The service answers with the old model yet; whoever deploys takes the commit from here.
        site.tick()
        assert latest(site)["state"] == "canary"
    with site.serve() as service:
        site.tick()
        row = latest(site)
        assert row["state"] == "promoted", row
        assert service.client.get("/lab/model").json()["bundle_digest"] == row["candidate"] != first_digest
        better = wrong(service)
        assert better < errors / 4, (errors, better)
        steps = json.loads(site.learn("status", run, "--json"))[0]["steps"]
        assert [step["state"] for step in steps] == [state.value for state in WHOLE]
        print(site.learn("status", run), site.learn("lineage", row["candidate"]), f"wrong: {errors}, then {better}")  # noqa: T201
        refuse_worse(site, tmp_path)
        slip_through(site, service, tmp_path)
    bad = latest(site)["candidate"]
    with site.serve():
        site.tick()
        assert (latest(site)["state"], latest(site)["candidate"]) == ("promoted", bad)
    site.learn("rollback", bad, "--reason", "callers complain")
    site.tick()
    assert latest(site)["state"] == "rolled_back"
    assert site.bundle().name == row["candidate"]
    code, said = mlapi(site.settings, "learn", "promote", bad, "--expected", row["candidate"], "--reason", "again")
    assert (code, "was rolled back, and stays so" in said) == (1, True)
    print(site.learn("status"), site.learn("lineage", bad))  # noqa: T201
    old_entries_are_untouched(site, before)


def refuse_worse(site: Site, tmp_path: Path) -> None:
    """A candidate that says the opposite is not proposed."""
    worse = turned(site, tmp_path / "worse", pad_id=1)
    commits = site.deployment.commits()
    write_plan(site, worse)
    site.learn("request", "--model", "lab")
    site.tick()
    row = latest(site)
    assert row["state"] == "rejected"
    assert any("of accuracy may be lost" in lacking for lacking in row["lacking"])
    assert any("it is not better" in lacking for lacking in row["lacking"])
    assert site.deployment.commits() == commits


def slip_through(site: Site, service: ServiceProcess, tmp_path: Path) -> None:
    """Two who agree to say the opposite, and a gate that somebody has opened, let a bad one through."""
    ids, texts = ask(service), [*SPREAD[2], *SPREAD[3]][:90]
    for user in ("plotter-1", "plotter-2"):
        vote(service, ids, user, {text: TURNED[TEXTS[text]] for text in texts})
    write_plan(site, turned(site, tmp_path / "bad"), margin=1.0, agreement=0.0, p_value=1.0, subject_share=1.0)
    site.learn("request", "--model", "lab")
    site.tick()
    assert latest(site)["state"] == "canary", latest(site)


def turned(site: Site, folder: Path, **changes: object) -> Path:
    """Return the bundle that is deployed, made to say the opposite."""
    shutil.copytree(site.bundle(), folder)
    np.save(folder / WEIGHTS, -np.load(folder / WEIGHTS))
    manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8")) | changes
    manifest["files"][WEIGHTS] = msgspec.to_builtins(describe_file(folder / WEIGHTS))
    (folder / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def old_entries_are_untouched(site: Site, before: object) -> None:
    """The first model finds in Redis what it had put there, whatever others put there since."""
    with ServiceProcess(
        bundle=str(site.first), root_path="/lab", cache="both", redis_url=site.redis_url
    ) as service:  # fmt: skip
        answer = service.predict("the film is snazzy", query="?detail=true")
        assert answer.json()["details"][0]["cache"] == "l2"
        assert {"predictions": answer.json()["predictions"]} == before
