"""Computes what a month on AWS costs, for three sizes of traffic: `python -m tools.costs [FILE]`.

Processor seconds come from what the benchmark measured (benchmarks/results/comparison.json), prices and traffic from a
file (infra/costs.toml by default), in which both can be replaced by one's own. Prints a table, and what it rests on.
"""

import json
import math
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
INPUTS: Final = ROOT / "infra" / "costs.toml"
MEASURED: Final = ROOT / "benchmarks" / "results" / "comparison.json"

_GIB: Final = 1024**3
_NODE_PROCESSORS: Final = 2
_MIN_NODES: Final = 2
_SECRETS: Final = 6
_SECONDS_AN_HOUR: Final = 3600
_DISK_GIB: Final = 30
_DATABASE_GIB: Final = 20
_LOGS_GIB: Final = 5


class CostError(Exception):
    """What is to be computed with is missing or makes no sense; the message says what."""


@dataclass(frozen=True, slots=True)
class Work:
    """Processor seconds of a text that the model reads, and of one that the cache knows, as measured."""

    miss_s: float
    hit_s: float
    machine: str


@dataclass(frozen=True, slots=True)
class Month:
    """One size of traffic: what it takes, and what that costs, in US dollars a month by item."""

    name: str
    texts_per_s: float
    hit_ratio: float
    nodes: int
    redis: str
    items: Mapping[str, float]

    @property
    def total(self) -> float:
        """The sum."""
        return sum(self.items.values())


def read_work(path: Path = MEASURED) -> Work:
    """Return what the benchmark measured.

    Raises:
        CostError: it holds no such rows.
    """
    record = json.loads(path.read_text(encoding="utf-8"))

    def seconds(row: str) -> float:
        found = [
            item["measures"]["server_processors"] / item["measures"]["texts_per_s"]
            for item in record["observations"]
            if item["peer"] == "mlapi" and item["row"] == row
        ]
        if not found:
            msg = f"{path} has no row {row} of mlapi"
            raise CostError(msg)
        return float(median(found))

    return Work(
        seconds("mixed"), seconds("hit-l2-fresh"), f"{record['machine']['processor']}, {record['started'][:10]}"
    )


def read_inputs(path: Path = INPUTS) -> dict[str, Any]:
    """Return prices, assumptions and traffic.

    Raises:
        CostError: the file cannot be read, or a number in it makes no sense.
    """
    try:
        inputs = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path}: {error}"
        raise CostError(msg) from error
    for traffic in inputs.get("traffic", ()):
        if not 0 <= traffic["hit_ratio"] <= 1 or traffic["texts_per_s"] <= 0:
            msg = f"{path}: the traffic {traffic['name']} has no hit ratio from 0 to 1, or no texts"
            raise CostError(msg)
    if not inputs.get("traffic"):
        msg = f"{path}: there is no traffic"
        raise CostError(msg)
    return inputs


def month(traffic: Mapping[str, Any], inputs: Mapping[str, Any], work: Work) -> Month:
    """Return what a month of this traffic takes and costs.

    Raises:
        CostError: no node type of Redis in the file is large enough.
    """
    prices, assumed = inputs["prices"], inputs["assumed"]
    hours, rate, hits = assumed["hours_a_month"], traffic["texts_per_s"], traffic["hit_ratio"]
    busy = rate * ((1 - hits) * work.miss_s + hits * work.hit_s)
    usable = _NODE_PROCESSORS * (1 - assumed["overhead"]) * assumed["utilisation"]
    nodes = max(_MIN_NODES, math.ceil(busy / usable))
    # As many are there in the busiest hours only: over the month a third of them, and the least always.
    average = max(_MIN_NODES, nodes / 3)
    node = next(iter(prices["nodes"].values()))
    wanted = traffic["distinct_texts_a_day"] * inputs["measured"]["redis_bytes_per_text"] / _GIB
    redis = _redis(wanted, inputs)
    texts = rate / 3 * hours * _SECONDS_AN_HOUR
    requests = texts / assumed["texts_per_request"]
    out = requests * assumed["bytes_per_request"] / _GIB
    between = texts * assumed["redis_bytes_per_lookup"] / 2 / _GIB
    zones = 2 if traffic["replicas"] else 1
    items = {
        "control plane": prices["control_plane"] * hours,
        "nodes": average * (node * hours + _DISK_GIB * prices["block_storage_gib_month"]),
        "Redis": (1 + traffic["replicas"]) * prices["redis"][redis] * hours,
        "database": zones
        * (prices["database"]["db.t4g.small"] * hours + _DATABASE_GIB * prices["block_storage_gib_month"]),
        "NAT": zones * prices["nat_gateway"] * hours + prices["nat_gib"],
        "load balancer": (prices["load_balancer"] + prices["load_balancer_unit"] * max(1, out / hours)) * hours,
        "traffic": out * prices["outbound_gib"] + between * prices["zone_gib"],
        "logs, secrets, keys": _LOGS_GIB * prices["logs_gib"] + _SECRETS * prices["secret_month"] + prices["key_month"],
    }
    return Month(traffic["name"], rate, hits, nodes, redis, items)


def _redis(gib: float, inputs: Mapping[str, Any]) -> str:
    fitting: dict[str, float] = {
        name: inputs["prices"]["redis"][name] for name, size in inputs["redis_gib"].items() if size >= gib
    }
    if not fitting:
        msg = f"no node type of Redis in the file holds {gib:.1f} GiB; add one to prices.redis and redis_gib"
        raise CostError(msg)
    return min(fitting, key=fitting.__getitem__)


def table(months: Sequence[Month]) -> str:
    """Write the months side by side, as Markdown."""
    rows = [
        ["", *(each.name for each in months)],
        ["---", *("---:" for _ in months)],
        ["texts a second, busiest hour", *(f"{each.texts_per_s:,}".replace(",", " ") for each in months)],
        ["of them known to the cache", *(f"{each.hit_ratio:.0%}".replace("%", " %") for each in months)],
        ["nodes in the busiest hour", *(str(each.nodes) for each in months)],
        ["Redis", *(each.redis for each in months)],
        *([item, *(f"{each.items[item]:,.0f}".replace(",", " ") for each in months)] for item in months[0].items),
        ["**US dollars a month**", *(f"**{each.total:,.0f}**".replace(",", " ") for each in months)],
        [
            "US dollars a million texts",
            *(f"{each.total / (each.texts_per_s / 3 * 2.628):.2f}" for each in months),
        ],
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def basis(inputs: Mapping[str, Any], work: Work) -> str:
    """Say what the table rests on."""
    prices = inputs["prices"]
    checked = "checked" if prices["checked"] else "not checked"
    return (
        f"A miss takes {work.miss_s * 1e3:.1f} ms of a processor, a hit {work.hit_s * 1e6:.0f} µs "
        f"(measured: {work.machine}). Prices: {prices['region']}, noted {prices['noted']}, {checked}.\n"
    )


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    try:
        inputs, work = read_inputs(Path(arguments[0]) if arguments else INPUTS), read_work()
        months = [month(traffic, inputs, work) for traffic in inputs["traffic"]]
    except (CostError, KeyError) as error:
        sys.exit(f"mlapi: {'missing in the file: ' if isinstance(error, KeyError) else ''}{error}")
    sys.stdout.write(f"{table(months)}\n{basis(inputs, work)}")


if __name__ == "__main__":
    main(sys.argv[1:])
