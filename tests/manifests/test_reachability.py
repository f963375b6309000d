"""The evaluator of network policies follows the API's rules."""

from typing import Any

import pytest

from tests.manifests.reachability import Connection, Endpoint, may_connect

ALICE = Endpoint("10.0.0.1", "shop", {"app": "alice"})
BOB = Endpoint("10.0.0.2", "shop", {"app": "bob"}, ports={"web": 80})
CAROL = Endpoint("10.0.1.3", "bank", {"app": "carol"}, {"team": "money"})
OUTSIDE = Endpoint("203.0.113.7")


def policy(**spec: object) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop"}, "spec": {"podSelector": {"matchLabels": {"app": "bob"}}, **spec}}


def from_peer(*peers: dict[str, Any], **rule: object) -> dict[str, Any]:
    return policy(policyTypes=["Ingress"], ingress=[{"from": list(peers), **rule}])


def ports(*clauses: dict[str, Any]) -> dict[str, Any]:
    return policy(ingress=[{"ports": list(clauses)}])


def may(policies: list[dict[str, Any]], source: Endpoint, target: Endpoint, port: int, protocol: str = "TCP") -> bool:
    return may_connect(policies, Connection(source, target, port, protocol))


DENY = policy(policyTypes=["Ingress"])


def test_without_a_policy_everyone_may() -> None:
    assert may([], ALICE, BOB, 80)
    assert may([], OUTSIDE, BOB, 80)


def test_one_policy_isolates_what_it_selects_and_nothing_else() -> None:
    assert not may([DENY], ALICE, BOB, 80)
    assert may([DENY], BOB, ALICE, 80)
    assert may([DENY], ALICE, CAROL, 80)
    assert not may([{**DENY, "spec": {"podSelector": {}}}], BOB, ALICE, 80)


def test_a_policy_of_another_namespace_selects_nothing_here() -> None:
    assert may([{**DENY, "metadata": {"namespace": "bank"}}], ALICE, BOB, 80)


def test_policies_add_up() -> None:
    assert may([DENY, from_peer({"podSelector": {}})], ALICE, BOB, 80)


def test_both_ends_have_to_allow() -> None:
    silent = {"metadata": {"namespace": "shop"}, "spec": {"podSelector": {}, "policyTypes": ["Egress"]}}
    assert not may([silent, from_peer({"podSelector": {}})], ALICE, BOB, 80)
    assert may([silent], CAROL, BOB, 80)


def test_the_direction_follows_from_what_is_written() -> None:
    assert not may([policy()], ALICE, BOB, 80)
    assert may([policy()], BOB, ALICE, 80)
    assert not may([policy(egress=[])], BOB, ALICE, 80)


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        ({"podSelector": {}}, [ALICE]),
        ({"podSelector": {"matchLabels": {"app": "carol"}}}, []),
        ({"namespaceSelector": {}}, [ALICE, CAROL]),
        ({"namespaceSelector": {"matchLabels": {"team": "money"}}}, [CAROL]),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "bank"}}}, [CAROL]),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "alice"}}}, [ALICE]),
        ({"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["alice"]}]}}, [ALICE]),
        ({"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["alice"]}]}}, []),
        ({"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}, [ALICE]),
        ({"podSelector": {"matchExpressions": [{"key": "age", "operator": "DoesNotExist"}]}}, [ALICE]),
        ({"ipBlock": {"cidr": "0.0.0.0/0"}}, [ALICE, CAROL, OUTSIDE]),
        ({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}, [OUTSIDE]),
        ({"ipBlock": {"cidr": "::/0"}}, []),
    ],
)
def test_who_is_meant(peer: dict[str, Any], allowed: list[Endpoint]) -> None:
    assert [source for source in (ALICE, CAROL, OUTSIDE) if may([from_peer(peer)], source, BOB, 80)] == allowed


@pytest.mark.parametrize(
    ("clause", "open_port", "closed_port"),
    [
        ({"port": 80}, 80, 81),
        ({"port": "web"}, 80, 81),
        ({"port": 80, "endPort": 82}, 82, 83),
    ],
)
def test_which_port_is_meant(clause: dict[str, Any], open_port: int, closed_port: int) -> None:
    assert may([ports(clause)], ALICE, BOB, open_port)
    assert not may([ports(clause)], ALICE, BOB, closed_port)
    assert not may([ports({**clause, "protocol": "UDP"})], ALICE, BOB, open_port)


def test_a_protocol_alone_opens_all_of_its_ports() -> None:
    assert may([ports({"protocol": "UDP"})], ALICE, BOB, 53, "UDP")
    assert not may([ports({"protocol": "UDP"})], ALICE, BOB, 53, "TCP")
