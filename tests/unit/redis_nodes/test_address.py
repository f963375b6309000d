"""What a Redis URL says, and which are none."""

import re

import pytest

from mlapi.redis_nodes.address import RedisAddress, read_address


def address(*, login: str = "", **parts: object) -> RedisAddress:
    """Return an address with these parts, the others as they are where a URL does not say."""
    plain: dict[str, object] = {"form": "standalone", "tls": False, "hosts": (("cache", 6379),), "primary": ""}
    plain |= {"user": "", "password": login, "database": 0, "options": ()}
    return RedisAddress(**(plain | parts))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache", address()),
        ("redis://cache/", address()),
        ("redis://", address(hosts=(("localhost", 6379),))),
        ("redis://[fd00::7]:6380/2", address(hosts=(("fd00::7", 6380),), database=2)),
        ("redis://cache?db=3", address(database=3)),
        ("rediss://us%40er:p%2Fw%3A@cache:1", address(tls=True, hosts=(("cache", 1),), user="us@er", login="p/w:")),
        ("rediss://:a:b@cache", address(tls=True, login="a:b")),
        ("redis://cache?client_name=shop", address(options=(("client_name", "shop"),))),
        (
            "redis+sentinel://user@a,b:1,[::1]:2/my.primary/4",
            address(
                form="sentinel",
                hosts=(("a", 26379), ("b", 1), ("::1", 2)),
                primary="my.primary",
                user="user",
                database=4,
            ),
        ),
        (
            "rediss+cluster://:secret@a,b:7000?ssl_check_hostname=false",
            address(
                form="cluster",
                tls=True,
                hosts=(("a", 6379), ("b", 7000)),
                login="secret",
                options=(("ssl_check_hostname", "false"),),
            ),
        ),
    ],
)
def test_what_a_url_says(url: str, expected: RedisAddress) -> None:
    assert read_address(url) == expected


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "must be empty, or a URL"),
        ("secret", "must be empty, or a URL"),
        ("localhost:6379", "must be empty, or a URL"),
        ("http://:secret@cache", "must be empty, or a URL"),
        ("unix:///secret", "must be empty, or a URL"),
        ("redis://cache:secret", "must be empty, or a URL"),
        ("redis://cache:70000", "must be empty, or a URL"),
        ("redis://:secret#@cache", "must be empty, or a URL"),
        ("redis://:secret/word@cache", "must be empty, or a URL"),
        ("redis://:12/secret@cache", "must be empty, or a URL"),
        ("redis://cache/secret", "must be empty, or a URL"),
        ("redis://cache?db=secret", "must be empty, or a URL"),
        ("redis://cache?db", "must be empty, or a URL"),
        ("redis://cache/-1", "a database has a number from 0"),
        ("redis://a,b", "several hosts are Sentinels"),
        ("redis://cache?secret=1", "'secret' is not an option of a Redis URL"),
        ("redis://cache?ssl_check_hostname=false", "ssl_check_hostname needs TLS"),
        ("redis+sentinel://a,b", "after the Sentinels stands the name of the primary"),
        ("redis+sentinel://a,b/pri mary", "after the Sentinels stands the name of the primary"),
        ("redis+sentinel://a/primary/x", "must be empty, or a URL"),
        ("redis+cluster://a/1", "a Redis Cluster has only database 0"),
        ("redis+cluster://a,,b", "must be empty, or a URL"),
    ],
)
def test_what_is_no_redis_url_is_refused_without_being_repeated(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        read_address(url)
    if "option" not in said:
        assert "secret" not in str(refused.value)


def test_a_place_is_shown_without_what_is_secret() -> None:
    assert read_address("redis+sentinel://user:secret@a,[::1]:2/primary").place == "a:26379,[::1]:2"
