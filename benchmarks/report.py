"""Renders a record as Markdown: the design's targets, the peers side by side, the limits, and what went wrong."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.results import MACHINE, NOISY, Summary, Table
from benchmarks.rows import HELLO_ROWS, ROWS

_OURS: Final = "mlapi"
_BASE: Final = "naive"
_BUSY: Final = 0.9


@dataclass(frozen=True, slots=True)
class _Target:
    """A line of the design's table: what, against what, and what is asked for."""

    work: str
    value: Callable[[Table], float | None]
    wanted: float
    unit: str
    at_least: bool = True


def _ratio(ours: Summary | None, theirs: Summary | None) -> float | None:
    return ours.median / theirs.median if ours and theirs and theirs.median else None


def _times(row: str, measure: str, *, lower_is_better: bool = False) -> Callable[[Table], float | None]:
    def value(table: Table) -> float | None:
        ours, theirs = table.get(_OURS, row, measure), table.get(_BASE, row, measure)
        quotient = _ratio(ours, theirs)
        return 1 / quotient if quotient and lower_is_better else quotient

    return value


def _of_hello(row: str) -> Callable[[Table], float | None]:
    def value(table: Table) -> float | None:
        share = _ratio(table.get(_OURS, row, "requests_per_s"), table.get("hello", "hello", "requests_per_s"))
        return None if share is None else 100 * share

    return value


def _plain(row: str, measure: str) -> Callable[[Table], float | None]:
    def value(table: Table) -> float | None:
        found = table.get(_OURS, row, measure)
        return found.median if found else None

    return value


def better_mixed(table: Table, peer: str) -> float | None:
    """Return a peer's better rate of mixed texts: one a request, or 32."""
    found = [summary.median for row in ("mixed", "mixed-32") if (summary := table.get(peer, row, "texts_per_s"))]
    return max(found, default=None)


def _mixed_times(peer: str) -> Callable[[Table], float | None]:
    def value(table: Table) -> float | None:
        ours, theirs = better_mixed(table, _OURS), better_mixed(table, peer)
        return ours / theirs if ours and theirs else None

    return value


def _of_peak(row: str) -> Callable[[Table], float | None]:
    def value(table: Table) -> float | None:
        work, peak = table.get(_OURS, row, "needed_gflops"), table.get(MACHINE, "peak", "int8")
        return 100 * work.median / peak.high if work and peak else None

    return value


_TARGETS: Final = (
    _Target("hit in L1, 2 texts, 64 connections, of bare uvicorn's rate", _of_hello("hit"), 80, "%"),
    _Target("the same, p99", _plain("hit", "p99_ms"), 5, "ms", at_least=False),
    _Target("hit in L2, same, of bare uvicorn's rate", _of_hello("hit-l2"), 60, "%"),
    _Target("bulk request of 1 000 known texts, against naive", _times("bulk-known", "requests_per_s"), 100, "x"),
    _Target("miss, one text of 16 tokens, against naive", _times("miss-16", "p50_ms", lower_is_better=True), 7, "x"),
    _Target("miss, one text of 128 tokens", _times("miss-128", "p50_ms", lower_is_better=True), 4.5, "x"),
    _Target("misses of mixed length, saturated, against the better naive", _mixed_times(_BASE), 7, "x"),
    _Target("the same, against infinity with ONNX", _mixed_times("infinity"), 3, "x"),
    _Target("useful arithmetic of the int8 peak, mixed lengths", _of_peak("mixed"), 60, "%"),
    _Target("the same, 32 texts a request", _of_peak("mixed-32"), 60, "%"),
    _Target("the same, 128 tokens throughout", _of_peak("uniform-128"), 60, "%"),
    _Target("process start to first answer", _plain("resources", "first_answer_s"), 1.5, "s", at_least=False),
    _Target("resident memory, steady", _plain("resources", "steady_mib"), 300, "MiB", at_least=False),
    _Target("resident memory, peak while loading", _plain("resources", "loaded_peak_mib"), 400, "MiB", at_least=False),
)

_COLUMNS: Final = (
    ("start to first answer, s", "resources", "first_answer_s"),
    ("memory steady / peak, MiB", "resources", "steady_mib peak_mib"),
    ("16 tokens, ms", "miss-16", "p50_ms"),
    ("128 tokens, ms", "miss-128", "p50_ms"),
    ("mixed, texts/s", "mixed", "texts_per_s"),
    ("mixed 4 x 32, texts/s", "mixed-32", "texts_per_s"),
    ("hits, requests/s", "hit", "requests_per_s"),
    ("hits p99, ms", "hit", "p99_ms"),
    ("bulk of 1 000 known, requests/s", "bulk-known", "requests_per_s"),
    ("furthest from fp32", "answers", "furthest"),
)


def render(table: Table) -> str:
    """Return the whole report."""
    parts = [_heading(table), *_targets(table), "", *_peers(table), "", *_rows(table), "", *_limits(table)]
    return "\n".join([*parts, "", *_remarks(table)]).rstrip() + "\n"


def number(value: float) -> str:
    """Write a figure with three significant digits, thousands apart."""
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004


def spread(summary: Summary | None) -> str:
    """Write a median with the range that it comes from."""
    if summary is None:
        return ""
    if summary.low == summary.high:
        return number(summary.median)
    return f"{number(summary.median)} ({number(summary.low)}-{number(summary.high)})"


def _heading(table: Table) -> str:
    record = table.record
    machine = record.machine
    tools = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"# Benchmark, {record.profile} profile, {record.started}\n\n"
        f"{machine['processor']}, {machine['used']} of {machine['processors']} processors, "
        f"{machine['memory_gib']} GiB, {' '.join(machine['flags'])}; {machine['system']}; Python {machine['python']}; "
        f"{tools}.\nModel: DistilBERT, 66 million seeded random weights. Medians of the rounds, (smallest-largest).\n"
    )


def _targets(table: Table) -> Iterator[str]:
    yield "## Targets"
    yield ""
    yield "| work | measured | target | |"
    yield "|---|---|---|---|"
    for target in _TARGETS:
        value = target.value(table)
        sign = "≥" if target.at_least else "<"
        wanted = f"{sign} {target.wanted:g} {target.unit}"
        if value is None:
            yield f"| {target.work} | not measured | {wanted} | |"
            continue
        met = value >= target.wanted if target.at_least else value < target.wanted
        yield f"| {target.work} | {number(value)} {target.unit} | {wanted} | {'met' if met else '**missed**'} |"


def _peers(table: Table) -> Iterator[str]:
    yield "## Peers"
    yield ""
    yield f"| | {' | '.join(title for title, _, _ in _COLUMNS)} |"
    yield "|---" * (len(_COLUMNS) + 1) + "|"
    for peer, title in table.record.peers.items():
        cells = [
            " / ".join(spread(table.get(peer, row, measure)) for measure in names.split()).strip(" /")
            or ("failed" if table.reason(peer, row) else "-")
            for _, row, names in _COLUMNS
        ]
        yield f"| {title} | {' | '.join(cells)} |"


def _rows(table: Table) -> Iterator[str]:
    yield "## Every row"
    yield ""
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


def _limits(table: Table) -> Iterator[str]:
    yield "## Limits of the machine, same run"
    yield ""
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


def _remarks(table: Table) -> Iterator[str]:
    """Say what makes figures doubtful."""
    remarks = [
        f"- {table.record.peers[item.peer]}{', ' if item.row else ''}{item.row}: {item.reason}"
        for item in table.record.failures
    ]
    remarks += [
        f"- {item.peer}, {item.row}, round {item.round}: others used {item.measures['foreign']:.0%} of the processors "
        f"(more than {NOISY:.0%})"
        for item in table.noisy
    ]
    for peer, row in (("hello", "hello"), *((peer, row) for peer in table.record.peers for row in ("hit", "hit-l2"))):
        busy = table.get(peer, row, "server_processors")
        if busy and busy.median > 1 + NOISY:
            remarks.append(f"- {peer}, {row}: the server used {busy.median:.2f} processors, though it was given one")
        if busy and busy.median < _BUSY:
            remarks.append(f"- {peer}, {row}: the server used only {busy.median:.2f} of its processor: load-bound")
    if remarks:
        yield "## Doubts"
        yield ""
        yield from remarks
