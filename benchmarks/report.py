"""Renders a record as Markdown: the design's targets, the peers side by side, the limits, and what went wrong."""

from collections.abc import Iterator
from typing import Final

from benchmarks import targets
from benchmarks.results import MACHINE, NOISY, Summary, Table
from benchmarks.rows import HELLO_ROWS, ROWS, Stage
from benchmarks.targets import number

_BUSY: Final = 0.9

_COLUMNS: Final = (
    ("start to first answer, s", "resources", "first_answer_s"),
    ("memory steady / peak, MiB", "resources", "steady_mib peak_mib"),
    ("16 tokens, ms", "miss-16", "p50_ms"),
    ("128 tokens, ms", "miss-128", "p50_ms"),
    ("mixed, texts/s", "mixed", "texts_per_s"),
    ("mixed 4 x 32, texts/s", "mixed-32", "texts_per_s"),
    ("hits, requests/s", "hit", "requests_per_s"),
    ("hits p99, ms", "hit", "p99_ms"),
    ("hits, no body twice, requests/s", "hit-fresh", "requests_per_s"),
    ("bulk of 1 000 known, requests/s", "bulk-known", "requests_per_s"),
    ("furthest from fp32", "answers", "furthest"),
)

_SHORT_COLUMNS: Final = (
    ("known texts, requests/s", "hit", "requests_per_s"),
    ("unknown texts of mixed length, texts/s", "mixed", "texts_per_s"),
    ("one unknown text of 16 tokens, ms", "miss-16", "p50_ms"),
    ("start to first answer, s", "resources", "first_answer_s"),
    ("memory, MiB", "resources", "steady_mib"),
)


def render(table: Table) -> str:
    """Return the whole report."""
    return f"# Benchmark, {table.record.profile} profile, {table.record.started}\n\n{sections(table)}"


def sections(table: Table) -> str:
    """Return the report without its title."""
    parts = [conditions(table)]
    for title, lines in (
        ("Targets", targets.render(table)),
        ("Peers", peers(table)),
        ("Every row", rows(table)),
        ("Limits of the machine, same run", limits(table)),
        ("Doubts", remarks(table)),
    ):
        written = list(lines)
        if written:
            parts += ["", f"## {title}", "", *written]
    return "\n".join(parts) + "\n"


def spread(summary: Summary | None) -> str:
    """Write a median with the range that it comes from."""
    if summary is None:
        return ""
    if summary.low == summary.high:
        return number(summary.median)
    return f"{number(summary.median)} ({number(summary.low)}-{number(summary.high)})"


def conditions(table: Table) -> str:
    """Say on what machine, with which versions and when it was measured."""
    machine = table.record.machine
    tools = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['processor']}, {machine['used']} of {machine['processors']} processors, "
        f"{machine['memory_gib']} GiB, {' '.join(machine['flags'])}; {machine['system']}; Python {machine['python']}; "
        f"{tools}. Model: {table.record.model}. Profile `{table.record.profile}`, "
        f"{table.record.started}. Medians of the rounds, (smallest-largest)."
    )


def peers(table: Table) -> Iterator[str]:
    """Yield the table of the peers side by side."""
    yield f"| | {' | '.join(title for title, _, _ in _COLUMNS)} |"
    yield "|---" * (len(_COLUMNS) + 1) + "|"
    for peer, title in table.record.peers.items():
        cells = [
            " / ".join(spread(table.get(peer, row, measure)) for measure in names.split()).strip(" /")
            or ("failed" if table.reason(peer, row) else "-")
            for _, row, names in _COLUMNS
        ]
        yield f"| {title} | {' | '.join(cells)} |"


def summary(table: Table) -> Iterator[str]:
    """Yield a short table of the peers: what one looks for first."""
    yield f"| | {' | '.join(title for title, _, _ in _SHORT_COLUMNS)} |"
    yield "|---" * (len(_SHORT_COLUMNS) + 1) + "|"
    for peer, title in table.record.peers.items():
        found = [table.get(peer, row, measure) for _, row, measure in _SHORT_COLUMNS]
        cells = [number(item.median) if item else "-" for item in found]
        yield f"| {title} | {' | '.join(cells)} |"


def rows(table: Table) -> Iterator[str]:
    """Yield the table of all rows."""
    yield "| row | service | requests/s | texts/s | p50, ms | p99, ms | failed | server's processors |"
    yield "|---|---|---|---|---|---|---|---|"
    for row, title in [(row.name, row.title) for row in (*HELLO_ROWS, *ROWS.values())]:
        for peer, service in ({"hello": "bare uvicorn"} | table.record.peers).items():
            measures = ("requests_per_s", "texts_per_s", "p50_ms", "p99_ms", "failed", "server_processors")
            found = [table.get(peer, row, measure) for measure in measures]
            if found[0]:
                yield f"| {title} | {service} | {' | '.join(map(spread, found))} |"
            elif reason := table.reason(peer, row, alone=True):
                yield f"| {title} | {service} | failed: {reason} | | | | | |"


def limits(table: Table) -> Iterator[str]:
    """Yield what no server can exceed on this machine."""
    for row in HELLO_ROWS:
        yield f"- {row.title}: {spread(table.get('hello', row.name, 'requests_per_s')) or 'not measured'} requests/s"
    redis = table.record.limits.get("redis_get_per_s", "not measured")
    yield f"- redis-benchmark, GET of 64 bytes, 64 clients: {number(redis) if isinstance(redis, float) else redis}"
    for precision in ("int8", "bf16", "fp32"):
        peak = table.get(MACHINE, "peak", precision)
        best = f"best of {peak.rounds} {number(peak.high)} (from {number(peak.low)}) GFLOP/s" if peak else "not there"
        yield f"- matrix products, {precision}: {best}"
    distance = table.record.limits.get("bf16_distance")
    if distance:
        yield f"- furthest from fp32 that PyTorch's own bf16 gets: {number(float(distance))}"


def remarks(table: Table) -> Iterator[str]:
    """Say what makes figures doubtful."""
    remarks = [
        f"- {table.record.peers[item.peer]}{', ' if item.row else ''}{item.row}: {item.reason}"
        for item in table.record.failures
    ]
    remarks += [
        f"- {peer}, {row}: up to {failed.high:.0f} requests failed in a round: the figures are of the others, and meet "
        f"no target"
        for peer, row in dict.fromkeys((item.peer, item.row) for item in table.record.observations)
        if (failed := table.get(peer, row, "failed")) and failed.high
    ]
    remarks += [
        f"- {item.peer}, {item.row}, round {item.round}: others used {item.measures['foreign']:.0%} of the processors "
        f"(more than {NOISY:.0%})"
        for item in table.noisy
    ]
    for peer, row in (("hello", "hello"), *((peer, row) for peer in table.record.peers for row in ("hit", "hit-l2"))):
        busy = table.get(peer, row, "server_processors")
        if busy and busy.median < _BUSY:
            remarks.append(f"- {peer}, {row}: the server used only {busy.median:.2f} of its processor: load-bound")
    yield from remarks
    yield from _intruders(table)


def _intruders(table: Table) -> Iterator[str]:
    """Say which servers used more processors than they were bound to, and where most of all."""
    for peer in table.record.peers:
        worst: dict[int, tuple[float, str]] = {}
        for row in ROWS.values():
            given = table.record.machine["used"] if row.stage is Stage.SHARED else 1
            busy = table.get(peer, row.name, "server_processors")
            if busy and busy.median > given * (1 + NOISY):
                worst[given] = max(worst.get(given, (0.0, "")), (busy.median, row.name))
        for given, (most, name) in sorted(worst.items()):
            yield f"- {peer}, {name}: the server used {most:.2f} processors, though it was bound to {given}"
