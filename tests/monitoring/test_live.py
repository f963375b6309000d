"""Real Prometheus, real service: every delivered query has an answer, and an alert travels to Alertmanager and ends."""

import math
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml
from promql_parser import VectorSelector

from mlapi.settings import DEFAULT_BUNDLE
from tests.e2e.api_keys import KeysFile, bearer
from tests.monitoring.queries import (
    RULE_FILES,
    Query,
    always_there,
    dashboard_queries,
    nodes,
    rule_queries,
    scaler_queries,
)
from tests.programs import find_program
from tests.service_process import HOST, ServiceProcess, eventually
from tools.monitor import prometheus_config, running_alertmanager, running_prometheus
from tools.private_redis import PrivateRedis, free_port

FOREIGN: Final = (Path(__file__).parent / "foreign.prom").read_text(encoding="utf-8")
QUERIES: Final = (
    [
        Query(f"{query.where} ({part})", part)
        for query in rule_queries()
        for part in ([query.record] if query.record else always_there(query.expr))
    ]
    + dashboard_queries()
    + scaler_queries()
)
NODES: Final = """
# TYPE mlapi_redis_node_up gauge
mlapi_redis_node_up{namespace="mlapi",job="mlapi",instance="mlapi-1",node="192.0.2.1:6379"} 1
"""
"""What the service says with a Redis of several nodes, which is not started here."""

ROUNDS: Final = 3
MODELS: Final = {"project", "lab"}
"""The names of the models that are served, of one bundle."""

pytestmark = pytest.mark.timeout(300)  # four programs to start, and seconds of real time to scrape in


def quick_rules(folder: Path) -> list[str]:
    """Copy the rules with a quick pace: each group every second, alerts after a second."""
    copies = folder / "rules"
    copies.mkdir()
    for path in RULE_FILES:
        rules = yaml.safe_load(path.read_text(encoding="utf-8"))
        for group in rules["groups"]:
            group["interval"] = "1s"
            for rule in group["rules"]:
                # The test cannot wait for a day of scrapes: ten minutes stand for a day, two seconds for its offset,
                # and ten texts are enough to judge.
                for long, short in (("[7d] offset 1d", "[10m] offset 2s"), ("[1d]", "[10m]"), (">= 1000", ">= 10")):
                    rule["expr"] = rule["expr"].replace(long, short)
                if "for" in rule:
                    rule["for"] = "1s"
        (copies / path.name).write_text(yaml.safe_dump(rules), encoding="utf-8")
    return [str(copies / "*.yaml")]


def configuration(service: ServiceProcess, folder: Path, alertmanager: str | None = None) -> dict[str, Any]:
    """Return the local stack's configuration with a quick pace, and labels as the cluster gives them."""
    config = prometheus_config(f"{HOST}:{service.port}", alertmanager)
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["labels"] = {"namespace": "mlapi", "pod": "mlapi-1"}
    config["rule_files"] = quick_rules(folder)
    return config


class Prometheus:
    """Asks one for the present value of expressions."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def values(self, expr: str) -> list[float]:
        data = self._ask(expr)
        if data["resultType"] == "scalar":
            return [float(data["result"][1])]
        return [float(sample["value"][1]) for sample in data["result"]]

    def by_label(self, label: str, expr: str) -> dict[str, float]:
        """Return the values of series that differ in this label."""
        result = self._ask(expr)["result"]
        values = {sample["metric"].get(label, ""): float(sample["value"][1]) for sample in result}
        assert len(values) == len(result), f"{expr}: {result}"
        return values

    def _ask(self, expr: str) -> dict[str, Any]:
        answer = self._client.get("/api/v1/query", params={"query": expr}).json()
        assert answer["status"] == "success", f"{expr}: {answer}"
        data: dict[str, Any] = answer["data"]
        return data

    def scrapes(self) -> float:
        return sum(self.values('count_over_time(mlapi_ready{job="mlapi"}[10m])'))


@contextmanager
def exporter(text: str) -> Iterator[int]:
    """Expose canned series on a port; counters grow with each scrape, as real ones do."""
    counters = {
        line.split()[2] for line in text.splitlines() if line.startswith("# TYPE") and line.endswith(" counter")
    }
    scrapes = iter(range(1, 1_000_000))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = next(scrapes)
            lines = []
            for line in text.splitlines():
                series, _, value = line.rpartition(" ")
                grows = series.partition("{")[0] in counters
                lines.append(f"{series} {float(value) * number}" if grows else line)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(("\n".join(lines) + "\n").encode())

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def touch_everything(service: ServiceProcess, number: int) -> None:
    """Send requests that move every metric: hits of both tiers, misses, duplicates, refusals, cut texts, failures."""
    known = [f"a text that comes again, number {index}" for index in range(60)]
    service.predict(known)
    service.predict(known[:20])
    service.predict(["the same text twice", f"new {number}", f"new {number}"])
    service.predict(f"long {number} " + "word " * 700)
    service.predict("no key", headers={"Authorization": ""})
    service.predict(f"unknown {number}", headers={"Cache-Control": "only-if-cached"})
    service.client.post(f"{service.root}/bulk-predict", json={"text": known})
    service.client.post(f"{service.root}/predict", content=b"not json", headers={"Content-Type": "application/json"})
    for model in MODELS:
        texts = [*known[:5], f"only of {model} {number}"]
        assert service.client.post(f"/{model}/predict", json={"text": texts}).is_success
    for model in MODELS:
        body = service.client.post(f"/{model}/predict?detail=true", json={"text": [f"judged {number}"]}).json()
        for label in ("NEGATIVE", "POSITIVE"):
            vote = {"id": body["details"][0]["id"], "label": label}
            assert service.client.post(f"/{model}/feedback", json=vote).status_code == 201
    with ThreadPoolExecutor(6) as callers:
        bursts = [[f"burst {number} {caller} {index}: " + "word " * 10 for index in range(25)] for caller in range(6)]
        list(callers.map(service.predict, bursts))


def wait_for_scrapes(prometheus: Prometheus, number: int) -> None:
    before = prometheus.scrapes()
    eventually(lambda: prometheus.scrapes() >= before + number, f"{number} more scrapes", 30.0)


@pytest.fixture(scope="module")
def prometheus(redis_process: PrivateRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scraped the real service under load, and canned series of other programs."""
    program = find_program("prometheus")
    folder = tmp_path_factory.mktemp("queries")
    keys = KeysFile(folder)
    key = keys.add("test", scopes=["predict", "feedback"], quota={"texts_per_second": 1_000_000})
    redis_process.resume()
    if not redis_process.running:
        redis_process.restart()
    with (
        ServiceProcess(
            models=" ".join(f"{model}={DEFAULT_BUNDLE}" for model in MODELS),
            redis_url=redis_process.url,
            l1_bytes="10000",
            max_waiting_tokens="1024",
            feedback_url=f"sqlite:///{folder}/feedback.db",
            feedback_votes_per_minute="0",
            feedback_ask_share="1",
            keys_file=str(keys.path),
        ) as service,
        exporter(FOREIGN + NODES) as port,
    ):
        service.client.headers.update(bearer(key))
        config = configuration(service, folder)
        config["scrape_configs"].append(
            {"job_name": "foreign", "honor_labels": True, "static_configs": [{"targets": [f"{HOST}:{port}"]}]}
        )
        with (
            running_prometheus(program, config, folder, free_port()) as url,
            httpx.Client(base_url=url, timeout=30.0) as client,
        ):
            prometheus = Prometheus(client)
            eventually(prometheus.scrapes, "a first scrape", 30.0)
            for number in range(ROUNDS):
                touch_everything(service, number)
                wait_for_scrapes(prometheus, 2)
            yield prometheus


def test_every_query_has_an_answer(prometheus: Prometheus) -> None:
    """Of the rules, the dashboards and the autoscaler; where an alert compares, both sides of the comparison."""

    def empty() -> list[str]:
        return [query.where for query in QUERIES if all(map(math.isnan, prometheus.values(query.expr)))]

    left: list[str] = []

    def none_left() -> bool:
        left[:] = empty()
        return not left

    assert len(QUERIES) > 100
    try:
        eventually(none_left, "every query has an answer", 20.0)
    except AssertionError:
        assert left == []


def test_every_model_is_in_what_is_recorded_by_model(prometheus: Prometheus) -> None:
    """The requests too, whose model only their route tells."""
    recorded = [query.record for query in rule_queries() if query.record.startswith("job_model:")]
    assert len(recorded) >= 5
    for name in recorded:
        values = prometheus.by_label("model", name)
        assert set(values) == MODELS, name
        assert not any(map(math.isnan, values.values())), name


def test_every_prediction_route_counts_as_its_model_s(prometheus: Prometheus) -> None:
    """Only those show a missed deadline before there is one. Where only the body may name a model, none is counted."""
    rule = next(query for query in rule_queries() if query.record == "job_model:mlapi_requests:rate5m")
    patterns = {
        (str(matcher.op), matcher.value)
        for node in nodes(rule.expr)
        if isinstance(node, VectorSelector)
        for matcher in node.matchers.matchers
    }
    assert [op for op, _ in patterns].count("MatchOp.Re") == 1
    routes = prometheus.by_label("route", 'mlapi_http_requests_total{method="POST", status="504"}')
    counted = {
        route
        for route in routes
        if all(bool(re.fullmatch(pattern, route)) == (op == "MatchOp.Re") for op, pattern in patterns)
    }
    assert {model for model in MODELS if any(route.startswith(f"/{model}/") for route in counted)} == MODELS
    assert set(routes) - counted == {"/classify", "/v1/classify", "/api/v1/text/contents", "/invocations"}


def test_the_texts_of_a_model_are_hits_collapsed_ones_and_computed_ones(prometheus: Prometheus) -> None:
    """Counted by source, they are as many as its predictions by label."""
    by_source = prometheus.by_label("model", 'sum by (model) (mlapi_texts_total{source=~"l1|l2|collapsed|model"})')
    assert by_source == prometheus.by_label("model", "sum by (model) (mlapi_predictions_total)")
    assert by_source == prometheus.by_label("model", "sum by (model) (mlapi_texts_total)")
    assert set(by_source) == MODELS
    assert min(by_source.values()) > 0


def test_models_of_one_process_are_no_skew(prometheus: Prometheus) -> None:
    assert set(prometheus.by_label("model", "mlapi_model_info")) == MODELS
    alerts = {query.where: query.expr for query in rule_queries()}
    for name in ("MlapiModelDigestSkew", "MlapiModelMissing"):
        assert prometheus.values(alerts[f"alerts.yaml: {name}"]) == []


def test_no_series_of_a_query_that_names_nothing(prometheus: Prometheus) -> None:
    """The test above can fail: a query with a misspelt value is empty."""
    assert prometheus.values('mlapi_texts_total{source="l1"}')
    assert prometheus.values('mlapi_texts_total{source="L1"}') == []


def test_an_alert_reaches_alertmanager_and_ends(tmp_path: Path) -> None:
    """Redis stops: the breaker's alert fires. Redis is back: it is resolved."""
    program, alertmanager = find_program("prometheus"), find_program("alertmanager")
    port = free_port()
    with (
        PrivateRedis() as redis,
        ServiceProcess(engine="fake", redis_url=redis.url) as service,
        running_alertmanager(alertmanager, tmp_path, port) as alerts,
        running_prometheus(
            program, configuration(service, tmp_path, f"{HOST}:{port}"), tmp_path, free_port()
        ) as prometheus,
        httpx.Client(base_url=prometheus, timeout=30.0) as prometheus_client,
        httpx.Client(base_url=alerts, timeout=30.0) as alertmanager_client,
    ):
        texts = iter(range(1_000_000))

        def firing() -> list[dict[str, str]]:
            """Ask for a text that no tier knows, so that Redis is needed, and then Alertmanager for what it holds."""
            assert service.predict(f"text {next(texts)}").is_success
            held = alertmanager_client.get(
                "/api/v2/alerts", params={"filter": "alertname=MlapiCacheBreakerOpen"}
            ).json()
            return [alert["labels"] for alert in held]

        eventually(
            lambda: Prometheus(prometheus_client).values("mlapi_cache_breaker_state == 0"),
            "a scrape of a closed breaker",
            30.0,
        )
        assert firing() == []
        redis.stop()
        (labels,) = eventually(firing, "the alert is in Alertmanager", 40.0)
        assert (labels["severity"], labels["namespace"], labels["job"]) == ("ticket", "mlapi", "mlapi")
        redis.restart()
        eventually(lambda: not firing(), "the alert is resolved", 40.0)
