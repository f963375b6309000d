"""Writes a report for people to read."""

from collections.abc import Mapping
from typing import Any


def in_words(report: Mapping[str, Any]) -> str:
    """Return a report (see `mlapi.learn.evaluation.evaluate`) as lines of text."""
    texts = report["texts"]
    lines = [
        f"model            {report['model']}",
        f"opinions         {report['opinions']} of {report['subjects']} subjects on {texts['judged']} texts",
        f"                 {texts['agreed']} agreed, {texts['single']} of one subject, {texts['disputed']} disputed",
        "",
        "how often it is right, by the opinions that were asked for at random:",
        _asked("  by text        ", report["asked"]["texts"]),
        _asked("  by request     ", report["asked"]["requests"]),
    ]
    for title, view in (("texts", report["by_text"]), ("opinions", report["by_opinion"])):
        lines += ["", f"over all {title}, which nobody drew at random:"]
        if not view["count"]:
            lines.append("  nothing to compare")
            continue
        lines += [
            f"  agreement      {_share(view['agreement'])} of {view['count']}",
            f"  macro F1       {_share(view['macro_f1'])}",
            f"  calibration    {view['calibration_error']:.4f} expected error",
            f"  {'label':20} {'precision':>9} {'recall':>9} {'F1':>9} {'is':>7} {'said':>7}",
        ]
        lines += [
            f"  {label:20} {row['precision']:9.4f} {row['recall']:9.4f} {row['f1']:9.4f}"
            f" {row['support']:7} {row['said']:7}"
            for label, row in view["classes"].items()
        ]
    if "against" in report:
        lines += ["", *_comparison(report["against"])]
    return "\n".join(lines)


def _asked(name: str, view: Mapping[str, Any]) -> str:
    if not view["count"]:
        return f"{name}nobody who was asked has answered"
    caution = "" if view["enough"] else ": too few to act on"
    return f"{name}{_share(view['accuracy'])} of {view['count']}{caution}"


def _comparison(against: Mapping[str, Any]) -> list[str]:
    if not against["texts"]:
        return [f"against          {against['model']}: no text that both have answered"]
    return [
        f"against          {against['model']}, on {against['texts']} texts that both have answered:",
        f"  only this one right {against['only_this_right']}, only the other {against['only_other_right']}",
        f"  McNemar's exact p {against['p_value']:.4f}",
    ]


def _share(interval: Mapping[str, float]) -> str:
    return f"{interval['value']:.4f} ({interval['low']:.4f} to {interval['high']:.4f})"
