"""Reads what asks for a run of the learning loop over HTTP: Alertmanager's webhook, and CloudEvents 1.0."""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from mlapi.dialects.json_bodies import decode, refuse
from mlapi.errors import Violation
from mlapi.feedback.runs import Trigger

MAX_ALERTS: Final = 1000
_MAX_CHARS: Final = 300
_NAME: Final = f"must have 1 to {_MAX_CHARS} printable characters"
EVENT_TYPE: Final = "io.mlapi.learning.request"
_STRUCTURED: Final = b"application/cloudevents+json"

Wanted = Callable[[str, str], bool]
"""Tells whether an alert (its name, its model) is to start a run; of an event, whose alert is empty, its model."""


class _Alert(msgspec.Struct, frozen=True, rename="camel"):
    status: str
    labels: dict[str, str]
    starts_at: str
    fingerprint: str


class _Alerts(msgspec.Struct, frozen=True):
    alerts: list[_Alert]


class _Request(msgspec.Struct, frozen=True):
    model: str
    reason: str = "an event"


class _Event(msgspec.Struct, frozen=True):
    specversion: str
    id: str
    source: str
    type: str
    data: _Request


_ALERTS: Final = msgspec.json.Decoder(_Alerts)
_EVENT: Final = msgspec.json.Decoder(_Event)
_REQUEST: Final = msgspec.json.Decoder(_Request)


def read_alerts(body: bytes, wanted: Wanted) -> list[Trigger]:
    """Read what Alertmanager sends (version 4); what fires and is wanted asks for a run, once for each time it starts.

    Raises:
        MalformedJsonError: not JSON.
        InvalidRequestError: another shape, or too many alerts.
    """
    alerts = decode(_ALERTS, body, "the body is not Alertmanager's webhook, version 4").alerts
    if len(alerts) > MAX_ALERTS:
        refuse("too many alerts", [Violation("/alerts", f"has {len(alerts)} alerts; it may have {MAX_ALERTS}")])
    for field in ("fingerprint", "starts_at"):
        # They make the run's key.
        bad = [place for place, alert in enumerate(alerts) if not _is_name(getattr(alert, field))]
        if bad:
            name = {"starts_at": "startsAt"}.get(field, field)
            refuse("an alert cannot be told from others", [Violation(f"/alerts/{bad[0]}/{name}", _NAME)])
    return list(_of_alerts(alerts, wanted))


def _of_alerts(alerts: list[_Alert], wanted: Wanted) -> Iterator[Trigger]:
    for alert in alerts:
        name, model = alert.labels.get("alertname", ""), alert.labels.get("model", "")
        if alert.status == "firing" and name and wanted(name, model):
            key = f"alert/{model}/{alert.fingerprint}/{alert.starts_at}"
            yield Trigger(key[:_MAX_CHARS], model, f"alert {name} since {alert.starts_at}"[:_MAX_CHARS])


def read_event(body: bytes, headers: dict[bytes, bytes], wanted: Wanted) -> list[Trigger]:
    """Read a CloudEvent, in binary or structured mode; source and id of it make the run.

    Raises:
        MalformedJsonError: not JSON.
        InvalidRequestError: no CloudEvent 1.0 of the type that asks for a run, or of a model that does not learn.
    """
    shape = 'the body is not {"model": "…"}, with the headers of a CloudEvent, nor a CloudEvent with such data'
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() == _STRUCTURED:
        event = decode(_EVENT, body, shape)
    else:
        given = {name: headers.get(f"ce-{name}".encode(), b"").decode("latin-1") for name in ("id", "source", "type")}
        version = headers.get(b"ce-specversion", b"").decode("latin-1")
        event = _Event(version, **given, data=decode(_REQUEST, body, shape))
    faults = [
        (event.specversion != "1.0", "specversion", "must be 1.0"),
        (event.type != EVENT_TYPE, "type", f"must be {EVENT_TYPE}"),
        (not _is_name(event.id), "id", _NAME),
        (not _is_name(event.source), "source", _NAME),
        # PostgreSQL stores no text with it.
        ("\0" in event.data.reason, "data/reason", "must not hold the character U+0000"),
        (not wanted("", event.data.model), "data/model", "is not a model that learns"),
    ]
    if found := [Violation(f"/{place}", said) for wrong, place, said in faults if wrong]:
        refuse("this event asks for nothing that can be done", found)
    key = f"event/{event.data.model}/{event.source}/{event.id}"
    return [Trigger(key, event.data.model, event.data.reason[:_MAX_CHARS])]


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _MAX_CHARS and text.isprintable()
