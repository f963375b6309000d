"""Writes the pages as HTML: everything that comes from a caller or a model is escaped here, and nowhere else."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from string import Template
from typing import Any, Final

from mlapi.dialects.schemas import ModelInfo
from mlapi.page.files import FOLDER

_SOURCES: Final[Mapping[str, str]] = {
    "l1": "the cache of this process (L1)",
    "l2": "Redis, the shared cache (L2)",
    "collapsed": "another request for the same text at the same time",
    "model": "the model",
}

_MOST_BUTTONS: Final = 6
"""More labels are offered in a list."""

_SHOWN_BODY_CHARS: Final = 4_000
"""A longer body is named in the `curl` line, not written into it: shells have limits, and so have eyes."""

_SHADES: Final = 3
"""How many strengths of an effect are told apart by colour."""

_METHODS: Final[Mapping[str, str]] = {
    "occlusion": "An effect is the difference that leaving the word out makes.",
    "exact": "The effects are what the model adds up.",
}

_EXPLAIN: Final = (
    '<p class="actions"><button form="ask" formnovalidate name="explain" value="1">Explain this answer</button></p>'
)

_DURATION: Final = re.compile(r";dur=([0-9.]+)")


@dataclass(frozen=True, slots=True)
class Shown:
    """What every page shows.

    Attributes:
        name: of the model, as it is served.
        max_chars: characters that a text may have.
        keyed: whether an API key is needed.
        links: names and addresses of other models.
        model: which model it is; None where that is not told, or not known yet.
        notice: what a visitor should know first; empty: nothing.
        text: in the field for it.
    """

    name: str
    max_chars: int
    keyed: bool
    links: Sequence[tuple[str, str]] = ()
    model: ModelInfo | None = None
    notice: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a text, as the result shows it.

    Attributes:
        text: the text.
        scores: labels and their scores, the highest first.
        details: as the route for predictions writes them.
        model: which model answered.
        server_timing: the header of that name.
        url: of the route for predictions.
        keyed: whether an API key is needed.
        opinions: whether opinions are taken here.
        said: what became of an opinion, or what was added; empty: nothing.
        explanation: what the route for explanations answered; None: it was not asked.
    """

    text: str
    scores: Sequence[tuple[str, float]]
    details: Mapping[str, Any]
    model: ModelInfo
    server_timing: str
    url: str
    keyed: bool
    opinions: bool
    said: str = ""
    explanation: Mapping[str, Any] | None = None


def page(shown: Shown, result: str = "") -> bytes:
    """Return the page, with a result if there is one."""
    return (
        _template("page.html")
        .substitute(
            title=escape(f"{shown.name}: classify a text"),
            name=escape(shown.name),
            links=_links(shown.links),
            notice=f'<p class="card problem" role="status">{escape(shown.notice)}</p>' if shown.notice else "",
            # HTML drops one line end at the beginning of the field.
            text="\n" + escape(shown.text) if shown.text else "",
            max_chars=f"{shown.max_chars:,}",
            key=_key_field(shown.name) if shown.keyed else "",
            result=result,
            model=_model(shown.model),
            # A link carries no key.
            document="" if shown.keyed else ' · <a href="openapi.json">OpenAPI document</a>',
        )
        .encode()
    )


def documentation(name: str, root: str, *, keyed: bool) -> bytes:
    """Return the page that shows the OpenAPI document."""
    key = (
        '<form id="key-form"><label for="key">API key</label>'
        '<input id="key" type="password" autocomplete="off" required><button>Show the documentation</button></form>'
    )
    values = {"title": escape(name), "root": escape(root), "key": key if keyed else ""}
    return _template("docs.html").substitute(values).encode()


def problem(document: Mapping[str, Any], *, retry_after: str = "") -> str:
    """Return a refusal as a result, from its problem document."""
    detail = str(document.get("detail", "the service failed"))
    items = "".join(
        f"<li>{escape(str(item['detail']))} (<code>{escape(str(item['pointer']))}</code>)</li>"
        for item in document.get("errors", ())
    )
    again = f"<p>It is worth trying again after {escape(retry_after)} s.</p>" if retry_after else ""
    facts = {"Code": document.get("code", ""), "HTTP status": document.get("status", "")}
    if document.get("request_id"):
        facts["Request"] = document["request_id"]
    title = str(document.get("title", "No answer"))
    return (
        f'<div class="card problem" data-said="{escape(f"{title}. {detail}")}">'
        f'<h2 id="result-title">{escape(title)}</h2><p>{escape(detail)}</p>'
        + (f"<ul>{items}</ul>" if items else "")
        + again
        + _list(facts)
        + "</div>"
    )


def answer(given: Answer) -> str:
    """Return an answer as a result."""
    (best, score), details = given.scores[0], given.details
    rows = "".join(_row(label, value) for label, value in given.scores)
    cut = f"yes: the model read {details['tokens']:,} tokens, and not the rest" if details["truncated"] else "no"
    facts: dict[str, str] = {
        "Answered by": _SOURCES.get(details["cache"], details["cache"]),
        "Tokens": f"{details['tokens']:,}",
        "Cut": cut,
    }
    milliseconds = sum(float(value) for value in _DURATION.findall(given.server_timing))
    result = (
        f'<div class="card" data-said="{escape(f"{best}, {score:.1%}. {given.said}")}">'
        f'<h2 id="result-title">{escape(best)}</h2>'
        + (f"<p><strong>{escape(given.said)}</strong></p>" if given.said else "")
        + '<table><caption>Labels by score</caption><thead class="unseen"><tr><th scope="col">Label</th>'
        f'<th scope="col">Bar</th><th scope="col">Score</th></tr></thead><tbody>{rows}</tbody></table>'
        + _list(facts, {"Time": f'<span id="time">{milliseconds:.2f} ms in the service</span>'})
    )
    command = escape(_curl(given))
    hidden = "".join(
        f'<input type="hidden" form="ask" name="{name}" value="{escape(value)}">'
        for name, value in (("about", given.text), ("id", str(given.details["id"])))
    )
    return (
        result
        + hidden
        + (_explanation(given.text, given.explanation) if given.explanation else _EXPLAIN)
        + (_opinions(given) if given.opinions else "")
        + f'<details><summary>Ask from a terminal</summary><pre id="command">{command}</pre></details></div>'
    )


@cache
def _template(name: str) -> Template:
    return Template((FOLDER / "assets" / name).read_text(encoding="utf-8"))


def _links(links: Sequence[tuple[str, str]]) -> str:
    if not links:
        return '<nav id="models" aria-label="Other models" hidden></nav>'
    items = "".join(f'<li><a href="{escape(url)}">{escape(name)}</a></li>' for name, url in links)
    return f'<nav id="models" aria-label="Other models"><ul>{items}</ul></nav>'


def _key_field(name: str) -> str:
    return (
        '<label for="key">API key</label>'
        '<input id="key" name="key" type="password" autocomplete="off" spellcheck="false" required '
        'aria-describedby="key-hint">'
        f'<p id="key-hint" class="hint">One for {escape(name)}. It is sent with the text, and kept nowhere but in this '
        "field.</p>"
    )


def _model(model: ModelInfo | None) -> str:
    if model is None:
        return ""
    measured = model.evaluation
    accuracy = f", right for {measured.accuracy:.1%} of {escape(measured.dataset)}" if measured else ""
    reads = f", reads {model.max_tokens:,} tokens" if model.max_tokens else ""
    return (
        f"<p>{escape(model.name)} ({escape(model.engine)}, {escape(model.precision)}){reads}{accuracy}. "
        f"Digest <code>{escape(model.digest)}</code></p>"
    )


def _row(label: str, score: float) -> str:
    return (
        f'<tr><th scope="row">{escape(label)}</th>'
        f'<td class="bar"><meter min="0" max="1" value="{score}" aria-label="{escape(label)}">{score:.1%}</meter></td>'
        f'<td class="share"><data value="{score}">{score:.1%}</data></td></tr>'
    )


def _list(facts: Mapping[str, object], written: Mapping[str, str] | None = None) -> str:
    """Write a list of facts; the second kind is HTML already."""
    items = {name: escape(str(value)) for name, value in facts.items()} | dict(written or {})
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in items.items()) + "</dl>"


def _opinions(given: Answer) -> str:
    """Write what sends an opinion: further parts of the form, so that its field for a key serves them, too."""
    labels, asked = given.model.labels, given.details.get("ask")
    legend = "What is it, in your opinion?" + (" Yours is wanted for this one." if asked else "")
    if len(labels) <= _MOST_BUTTONS:
        choice = "".join(
            f'<button form="ask" formnovalidate name="opinion" value="{escape(label)}">{escape(label)}</button>'
            for label in labels
        )
    else:
        options = "".join(f'<option value="{escape(label)}">{escape(label)}</option>' for label in labels)
        choice = (
            f'<select form="ask" name="choice" aria-label="Label">{options}</select>'
            '<button form="ask" formnovalidate name="opinion" value="">Send</button>'
        )
    return (
        f'<fieldset><legend>{escape(legend)}</legend><div class="choices">{choice}</div>'
        '<label class="choice"><input type="checkbox" form="ask" name="consent" value="1"> The text may be kept, to '
        "learn from</label></fieldset>"
    )


def _explanation(text: str, explanation: Mapping[str, Any]) -> str:
    """Write a text with its words marked by their effects, and the effects as a list."""
    parts, at = [], 0
    spans = explanation["spans"]
    most = max((abs(span["effect"]) for span in spans if span["effect"] is not None), default=0.0) or 1.0
    for span in spans:
        parts.append(escape(text[at : span["start"]]))
        word, at = escape(text[span["start"] : span["end"]]), span["end"]
        strength = round(_SHADES * abs(span["effect"] or 0.0) / most)
        side = "for" if (span["effect"] or 0.0) > 0 else "against"
        parts.append(f'<mark class="{side} s{strength}">{word}</mark>' if strength else word)
    parts.append(escape(text[at:]))
    ranked = sorted((span for span in spans if span["effect"] is not None), key=lambda span: -abs(span["effect"]))
    rows = "".join(
        f'<tr><th scope="row">{escape(span["text"])}</th><td class="share">{span["effect"]:+.2f}</td></tr>'
        for span in ranked
    )
    label = escape(explanation["label"])
    return (
        f'<h3>What speaks for {label}</h3><p class="spans">{"".join(parts)}</p>'
        f'<p class="hint">Underlined: for {label}; dotted: against it. {_METHODS[explanation["method"]]}</p>'
        f"<details><summary>All effects, in log-odds</summary><table><tbody>{rows}</tbody></table></details>"
    )


def _curl(given: Answer) -> str:
    body = json.dumps({"text": given.text}, ensure_ascii=False)
    key = ' -H "Authorization: Bearer $MLAPI_KEY"' if given.keyed else ""
    kind = "-H 'Content-Type: application/json'"
    if len(body) > _SHOWN_BODY_CHARS:
        named = '# request.json holds {"text": "…"} with the text'
        return f"{named}\ncurl {shlex.quote(given.url)}{key} {kind} -d @request.json"
    return f"curl {shlex.quote(given.url)}{key} {kind} -d {shlex.quote(body)}"
