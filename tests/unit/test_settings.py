"""Settings are read once, checked, and refuse what they do not know."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from mlapi.errors import ConfigurationError
from mlapi.settings import DEFAULT_BUNDLE, LAB_BUNDLE, ModelSetting, read_settings


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = read_settings({"PATH": "/bin", "OTHER": "x"})
    assert (settings.host, settings.port, settings.root_path) == ("::", 8000, "/project")
    assert (settings.redis_url, settings.redis_timeout_ms, settings.cache_ttl_s) == ("", 20, 86_400)
    assert (settings.l1_bytes, settings.deadline_s, settings.drain_s) == (64 * 1024 * 1024, 10, 5)
    assert (settings.bundle, settings.engine, settings.log_level) == (DEFAULT_BUNDLE, "", "info")


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("MLAPI_PORT", "9000", "port", 9000),
        ("MLAPI_ROOT_PATH", "/lab", "root_path", "/lab"),
        ("MLAPI_ROOT_PATH", "", "root_path", ""),
        ("MLAPI_REDIS_URL", "rediss://:secret@cache:6380/1", "redis_url", "rediss://:secret@cache:6380/1"),
        ("MLAPI_REDIS_URL", "", "redis_url", ""),
        ("MLAPI_L1_BYTES", "0", "l1_bytes", 0),
        ("MLAPI_DEADLINE_S", "0.5", "deadline_s", 0.5),
        ("MLAPI_LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("MLAPI_ALLOW_NO_CACHE", "true", "allow_no_cache", True),
        ("MLAPI_CORS_ORIGINS", "", "cors_origins", ()),
        ("MLAPI_CORS_ORIGINS", "*", "cors_origins", ("*",)),
        ("MLAPI_CORS_ORIGINS", "https://a.example", "cors_origins", ("https://a.example",)),
        ("MLAPI_CORS_ORIGINS", "http://[::1]:8080,", "cors_origins", ("http://[::1]:8080",)),
        (
            "MLAPI_CORS_ORIGINS",
            "https://a.example:8443, http://localhost:3000 chrome-extension://abc",
            "cors_origins",
            ("https://a.example:8443", "http://localhost:3000", "chrome-extension://abc"),
        ),
    ],
)
def test_a_variable_sets_its_field(name: str, value: str, field: str, expected: object) -> None:
    assert getattr(read_settings({name: value}), field) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLAPI_PORT", "65536"),
        ("MLAPI_PORT", ""),
        ("MLAPI_PORT", "http"),
        ("MLAPI_ROOT_PATH", "project"),
        ("MLAPI_ROOT_PATH", "/project/"),
        ("MLAPI_ROOT_PATH", "/a b"),
        ("MLAPI_REDIS_URL", "http://cache"),
        ("MLAPI_REDIS_URL", "redis://cache:port"),
        ("MLAPI_REDIS_TIMEOUT_MS", "0"),
        ("MLAPI_DEADLINE_S", "nan"),
        ("MLAPI_DEADLINE_S", "inf"),
        ("MLAPI_DRAIN_S", "-1"),
        ("MLAPI_LOG_LEVEL", "loud"),
        ("MLAPI_MAX_TEXTS", "0"),
        ("MLAPI_CORS_ORIGINS", "a.example"),
        ("MLAPI_CORS_ORIGINS", "https://a.example/"),
        ("MLAPI_CORS_ORIGINS", "https://a.example:443"),
        ("MLAPI_CORS_ORIGINS", "https://*.example"),
        ("MLAPI_CORS_ORIGINS", "HTTPS://A.example"),
        ("MLAPI_CORS_ORIGINS", "null"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        read_settings({name: value})


def test_without_a_setting_the_shipped_models_are_served_the_large_one_first() -> None:
    assert read_settings({}).served == (ModelSetting("/project", DEFAULT_BUNDLE), ModelSetting("/lab", LAB_BUNDLE))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"MLAPI_BUNDLE": "mine"}, ModelSetting("/project", Path("mine"))),
        ({"MLAPI_ROOT_PATH": "/here"}, ModelSetting("/here", DEFAULT_BUNDLE)),
        ({"MLAPI_ENGINE": "torch"}, ModelSetting("/project", DEFAULT_BUNDLE)),
        ({"MLAPI_MODELS": "", "MLAPI_ROOT_PATH": ""}, ModelSetting("", DEFAULT_BUNDLE)),
    ],
)
def test_a_setting_of_a_single_model_means_one(environment: dict[str, str], expected: ModelSetting) -> None:
    assert read_settings(environment).served == (expected,)


def test_models_are_served_in_the_order_in_which_they_are_named() -> None:
    served = read_settings({"MLAPI_MODELS": " lab=models/b  project=/srv/a=1\nv1.2-x_~=c "}).served
    assert served == (
        ModelSetting("/lab", Path("models/b")),
        ModelSetting("/project", Path("/srv/a=1")),
        ModelSetting("/v1.2-x_~", Path("c")),
    )
    assert [model.name for model in served] == ["lab", "project", "v1.2-x_~"]


@pytest.mark.parametrize(
    ("models", "reason"),
    [
        ("a", "'a' is not like project=models/mine"),
        ("a=", "'a=' is not like project=models/mine"),
        ("=folder", "'=folder' is not like project=models/mine"),
        ("/a=folder", "'/a=folder' is not like project=models/mine"),
        ("a/b=folder", "'a/b=folder' is not like project=models/mine"),
        ("a=folder b", "'b' is not like project=models/mine"),
        ("a=folder with blanks", "'with' is not like project=models/mine"),
        ("ä=folder", "'ä=folder' is not like project=models/mine"),
        ("metrics=folder", "a model cannot be named metrics: the path /metrics is taken"),
        ("a=folder v2=folder", "a model cannot be named v2: the path /v2 is taken"),
        (".=folder", "a model cannot be named .: clients take the parts . and .. out of a path"),
        ("..=folder", "a model cannot be named ..: clients take the parts . and .. out of a path"),
        ("a=one a=two", "two models are named a"),
        ("a=one b=one a=one", "two models are named a"),
        ("a-b=one a_b=two", "a-b and a_b differ only in what generated clients leave out of names"),
        ("a.b=one a~b=two", "a.b and a~b differ only in what generated clients leave out of names"),
    ],
)
def test_models_that_cannot_be_served_are_refused(models: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_settings({"MLAPI_MODELS": models})
    assert refused.value.detail.startswith(f"MLAPI_MODELS={models!r}: ")
    assert reason in refused.value.detail


@pytest.mark.parametrize(
    ("name", "value"), [("MLAPI_BUNDLE", "mine"), ("MLAPI_ROOT_PATH", "/here"), ("MLAPI_ENGINE", "fake")]
)
def test_models_are_named_in_one_way(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} cannot be given with it"):
        read_settings({"MLAPI_MODELS": "a=models/a", name: value})


@pytest.mark.parametrize("root", ["/metrics", "/livez/x", "/v1", "/..", "/a/./b"])
def test_the_path_of_a_single_model_is_not_one_that_is_taken(root: str) -> None:
    with pytest.raises(ConfigurationError, match="MLAPI_ROOT_PATH"):
        read_settings({"MLAPI_ROOT_PATH": root})


def test_an_unknown_name_is_refused_with_the_name_that_was_meant() -> None:
    with pytest.raises(ConfigurationError, match=r"MLAPI_REDIS_URI is not a setting; did you mean MLAPI_REDIS_URL\?"):
        read_settings({"MLAPI_REDIS_URI": "redis://cache"})


def test_everything_wrong_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_settings({"MLAPI_PORT": "x", "MLAPI_COLOUR": "red", "MLAPI_DRAIN_S": "-1"})
    assert {line.split("=")[0].split()[0] for line in refused.value.detail.splitlines()} == {
        "MLAPI_PORT",
        "MLAPI_COLOUR",
        "MLAPI_DRAIN_S",
    }


def test_the_variables_that_kubernetes_sets_for_our_own_service_are_ignored() -> None:
    links = {
        "MLAPI_SERVICE_SERVICE_HOST": "10.0.0.7",
        "MLAPI_SERVICE_SERVICE_PORT": "8000",
        "MLAPI_SERVICE_SERVICE_PORT_HTTP": "8000",
        "MLAPI_SERVICE_PORT": "tcp://10.0.0.7:8000",
        "MLAPI_SERVICE_PORT_8000_TCP": "tcp://10.0.0.7:8000",
        "MLAPI_SERVICE_PORT_8000_TCP_ADDR": "10.0.0.7",
    }
    assert read_settings(links) == read_settings({})


def test_a_port_that_kubernetes_set_is_explained() -> None:
    with pytest.raises(ConfigurationError, match="enableServiceLinks: false"):
        read_settings({"MLAPI_PORT": "tcp://10.0.0.7:8000"})


@pytest.mark.parametrize("url", ["redis://:secret/word@cache", "http://:secret@cache", "redis://user:secret#@cache"])
def test_a_password_is_never_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="MLAPI_REDIS_URL") as refused:
        read_settings({"MLAPI_REDIS_URL": url})
    assert "secret" not in refused.value.detail


@pytest.mark.parametrize(
    ("url", "given", "said"),
    [
        ("redis://cache", {"CA_FILE": "ca.crt"}, "MLAPI_REDIS_CA_FILE needs TLS"),
        ("redis+cluster://cache", {"CERT_FILE": "tls.crt"}, "MLAPI_REDIS_CERT_FILE needs TLS"),
        ("rediss://cache", {"KEY_FILE": "tls.key"}, "MLAPI_REDIS_KEY_FILE needs MLAPI_REDIS_CERT_FILE"),
        ("rediss://cache?ssl_ca_certs=a", {"CA_FILE": "b"}, "say the same; give one of them"),
        ("redis://:5ecret@cache", {"PASSWORD_FILE": "password"}, "has a password, too; give one of them"),
        ("redis://cache", {"SENTINEL_PASSWORD_FILE": "p"}, "MLAPI_REDIS_SENTINEL_PASSWORD_FILE needs Sentinels"),
        ("redis+sentinel://a/p", {"SENTINEL_USER": "u"}, "needs MLAPI_REDIS_SENTINEL_PASSWORD_FILE"),
    ],
)
def test_what_contradicts_the_redis_url_is_refused(url: str, given: dict[str, str], said: str) -> None:
    others = {f"MLAPI_REDIS_{name}": value for name, value in given.items()}
    with pytest.raises(ConfigurationError, match=said) as refused:
        read_settings({"MLAPI_REDIS_URL": url, **others})
    assert "5ecret" not in refused.value.detail
    # Without a Redis there is nothing to let us into.
    assert read_settings({"MLAPI_REDIS_URL": "", **others}).redis_target is None


def test_what_lets_us_into_redis_is_one_thing() -> None:
    target = read_settings(
        {
            "MLAPI_REDIS_URL": "rediss+sentinel://shop@a,b/primary/1",
            "MLAPI_REDIS_PASSWORD_FILE": "password",
            "MLAPI_REDIS_CA_FILE": "ca.crt",
            "MLAPI_REDIS_CERT_FILE": "tls.crt",
            "MLAPI_REDIS_KEY_FILE": "tls.key",
            "MLAPI_REDIS_SENTINEL_USER": "watched",
            "MLAPI_REDIS_SENTINEL_PASSWORD_FILE": "sentinel",
        }
    ).redis_target
    assert target is not None
    assert (target.address.form, target.address.place) == ("sentinel", "a:26379,b:26379")
    assert (target.address.user, target.address.password, target.sentinel_user) == ("shop", "", "watched")
    files = target.files
    found = (files.password, files.authority, files.certificate, files.key, files.sentinel_password)
    assert found == tuple(map(Path, ("password", "ca.crt", "tls.crt", "tls.key", "sentinel")))


def test_settings_cannot_change() -> None:
    settings = read_settings({})
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1
