"""Who may connect to whom under a set of NetworkPolicies, by the rules of networking.k8s.io/v1."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Object = Mapping[str, Any]

NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod, or an address outside the cluster when it is in no namespace.

    Attributes:
        address: its IP address.
        namespace: the namespace's name.
        labels: the pod's labels.
        namespace_labels: the namespace's, besides its name.
        ports: the numbers of its named ports.
    """

    address: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connection:
    """What is tried: who, to whom, and to which port there."""

    source: Endpoint
    target: Endpoint
    port: int
    protocol: str = "TCP"


def may_connect(policies: Sequence[Object], connection: Connection) -> bool:
    """Both ends have to allow a connection; an end that no policy selects allows all."""
    return all(_allows(policies, direction, connection) for direction in ("Egress", "Ingress"))


def _allows(policies: Sequence[Object], direction: str, connection: Connection) -> bool:
    ends, clause, peers = (connection.source, connection.target), "egress", "to"
    if direction == "Ingress":
        ends, clause, peers = (connection.target, connection.source), "ingress", "from"
    own, peer = ends
    deciding = [policy for policy in policies if _selects(policy, direction, own)]
    return not deciding or any(
        _matches_peer(policy, rule.get(peers), peer) and _matches_port(rule.get("ports"), connection)
        for policy in deciding
        for rule in policy["spec"].get(clause) or []
    )


def _selects(policy: Object, direction: str, pod: Endpoint) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
    return (
        direction in types
        and pod.namespace == policy["metadata"].get("namespace", "default")
        and _matches_labels(spec.get("podSelector") or {}, pod.labels)
    )


def _matches_peer(policy: Object, peers: Sequence[Object] | None, peer: Endpoint) -> bool:
    return not peers or any(_is_peer(policy, clause, peer) for clause in peers)


def _is_peer(policy: Object, clause: Object, peer: Endpoint) -> bool:
    if "ipBlock" in clause:
        address = ipaddress.ip_address(peer.address)
        holes = clause["ipBlock"].get("except") or []
        return address in ipaddress.ip_network(clause["ipBlock"]["cidr"]) and not any(
            address in ipaddress.ip_network(hole) for hole in holes
        )
    if not peer.namespace:
        return False
    if "namespaceSelector" in clause:
        labels = {**peer.namespace_labels, NAMESPACE_NAME: peer.namespace}
        if not _matches_labels(clause["namespaceSelector"] or {}, labels):
            return False
    elif peer.namespace != policy["metadata"].get("namespace", "default"):
        return False
    return _matches_labels(clause.get("podSelector") or {}, peer.labels)


def _matches_labels(selector: Object, labels: Mapping[str, str]) -> bool:
    if any(labels.get(name) != value for name, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_matches_expression(expression, labels) for expression in selector.get("matchExpressions") or [])


def _matches_expression(expression: Object, labels: Mapping[str, str]) -> bool:
    name, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(name) in values
        case "NotIn":
            return labels.get(name) not in values
        case "Exists":
            return name in labels
        case "DoesNotExist":
            return name not in labels
        case other:
            msg = f"no such operator: {other}"
            raise ValueError(msg)


def _matches_port(ports: Sequence[Object] | None, connection: Connection) -> bool:
    return not ports or any(
        clause.get("protocol", "TCP") == connection.protocol and _is_port(clause, connection) for clause in ports
    )


def _is_port(clause: Object, connection: Connection) -> bool:
    first = clause.get("port")
    if first is None:
        return True
    if isinstance(first, str):
        return connection.target.ports.get(first) == connection.port
    return bool(first <= connection.port <= clause.get("endPort", first))
