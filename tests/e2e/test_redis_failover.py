"""Failovers, resharding and rotations under 500 requests a second: none fails, and hits come back within seconds.

`make test-long TESTS=tests/e2e/test_redis_failover.py`; `PYTEST_ADDOPTS=-s` shows the figures.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from redis import Redis

from tests.certificates import Authority
from tests.e2e.paced_load import RATE, PacedLoad
from tests.programs import miss
from tests.redis_deployments import ClusterDeployment, SentinelDeployment
from tests.service_process import HOST, ServiceProcess
from tools.private_redis import PrivateRedis, free_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

TEXTS = [f"asked for over and over, number {number}" for number in range(200)]
TLS_SERVER = Path(__file__).parents[2] / ".tools/redis/redis-server"


def serve(url: str, files: Mapping[str, str] | None = None) -> ServiceProcess:
    """Start without an L1, which would answer everything, so that nobody would notice what becomes of Redis."""
    environment = {f"MLAPI_REDIS_{name}_FILE": path for name, path in (files or {}).items()}
    return ServiceProcess(redis_url=url, engine="fake", l1_bytes="0", environment=environment)


def under_load(service: ServiceProcess, what: str, act: Callable[[], None], *, seconds: float, back_s: float) -> None:
    """Act while requests go on; none may fail, and hits have to be back within `back_s` seconds of the act."""
    with service, PacedLoad(service, TEXTS, seconds) as load:
        load.until_hits_are_back(10)
        act()
        back = load.until_hits_are_back(back_s)
    sys.stdout.write(f"\n{load.figures(what, back)}\n")
    assert load.outcome.failed == 0
    assert load.wrong == []
    assert load.outcome.answered == RATE * seconds


def test_the_primary_of_sentinels_dies() -> None:
    with SentinelDeployment() as deployment:
        under_load(serve(deployment.url), "Sentinel, primary killed", deployment.primary.kill, seconds=20, back_s=15)


def test_the_primary_of_sentinels_hangs() -> None:
    with SentinelDeployment() as deployment:
        primary = deployment.primary
        under_load(serve(deployment.url), "Sentinel, primary frozen", primary.pause, seconds=20, back_s=15)


def test_sentinels_fail_over_in_good_order() -> None:
    with SentinelDeployment() as deployment:
        under_load(serve(deployment.url), "Sentinel, failover asked for", deployment.fail_over, seconds=25, back_s=15)


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_a_primary_of_the_cluster_goes(how: str) -> None:
    with ClusterDeployment() as cluster:
        act = getattr(cluster.servers[0], how)
        under_load(serve(cluster.url), f"Cluster, one primary of three: {how}", act, seconds=20, back_s=15)


def test_a_replica_of_the_cluster_takes_over_in_good_order() -> None:
    with ClusterDeployment() as cluster:
        replica = cluster.clients[cluster.replica_of(0)]
        under_load(
            serve(cluster.url),
            "Cluster, failover asked for",
            lambda: replica.execute_command("CLUSTER", "FAILOVER"),
            seconds=15,
            back_s=10,
        )


def test_half_of_the_slots_move() -> None:
    with ClusterDeployment() as cluster:

        def move() -> None:
            for source in range(3):
                first, last = source * 16_384 // 3, (source + 1) * 16_384 // 3
                cluster.move(range(first, (first + last) // 2), source, (source + 1) % 3)

        under_load(serve(cluster.url), "Cluster, 8 192 of 16 384 slots moved", move, seconds=40, back_s=10)


def test_the_password_changes(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first")
    with PrivateRedis() as server, Redis.from_url(server.url) as client:
        client.acl_setuser("shop", reset=True, enabled=True, passwords=["+first"], keys=["mlapi:*"], commands=["+@all"])

        def rotate() -> None:
            client.acl_setuser("shop", enabled=True, passwords=["+second"])
            file.write_text("second")
            client.acl_setuser("shop", enabled=True, passwords=["-first"])
            client.client_kill_filter(_type="normal", skipme=True)

        url = server.url.replace("redis://", "redis://shop@")
        service = serve(url, {"PASSWORD": str(file)})
        under_load(service, "password changed, connections closed", rotate, seconds=10, back_s=5)


def test_the_certificates_change(tmp_path: Path) -> None:
    if not os.access(TLS_SERVER, os.X_OK):
        miss("tools/redis_tls.sh")
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    served, ours, later = old.sign("server"), old.sign("client"), new.sign("client")
    both = tmp_path / "both.pem"
    both.write_bytes(old.certificate.read_bytes() + new.certificate.read_bytes())
    mounted = {"CA": old.certificate, "CERT": ours.certificate, "KEY": ours.key}
    files = {name: str(shutil.copy(source, tmp_path / name)) for name, source in mounted.items()}
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", str(served.certificate), "--tls-key-file", str(served.key)]
    options += ["--tls-ca-cert-file", str(old.certificate), "--tls-auth-clients", "yes"]
    with PrivateRedis(options, TLS_SERVER) as server, Redis.from_url(server.url) as client:

        def rotate() -> None:
            client.config_set("tls-ca-cert-file", str(both))
            shutil.copy(later.certificate, files["CERT"])
            shutil.copy(later.key, files["KEY"])
            client.config_set("tls-ca-cert-file", str(new.certificate))
            client.client_kill_filter(_type="normal", skipme=True)

        service = serve(f"rediss://{HOST}:{port}/0", files)
        under_load(service, "client's certificate changed, connections closed", rotate, seconds=10, back_s=5)
