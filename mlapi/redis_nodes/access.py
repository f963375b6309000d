"""Whether the settings that let us into Redis fit its URL and each other."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from mlapi.redis_nodes.address import RedisAddress

ACCESS: Final = {
    "redis_password_file": "",
    "redis_ca_file": "ssl_ca_certs",
    "redis_cert_file": "ssl_certfile",
    "redis_key_file": "ssl_keyfile",
    "redis_sentinel_user": "",
    "redis_sentinel_password_file": "",
}
"""What lets us into Redis beside the URL, and the option of the URL that says the same."""


def contradictions(address: RedisAddress, given: AbstractSet[str]) -> Iterator[str]:
    """Say what of the settings that are given contradicts the URL, or another of them."""
    options = {name for name, _ in address.options}
    for name in sorted(given):
        setting, option = f"MLAPI_{name.upper()}", ACCESS[name]
        if option and not address.tls:
            yield f"{setting} needs TLS: rediss instead of redis in MLAPI_REDIS_URL"
        if option in options:
            yield f"{setting} and {option} in MLAPI_REDIS_URL say the same; give one of them"
        if "sentinel" in name and address.form != "sentinel":
            yield f"{setting} needs Sentinels: redis+sentinel in MLAPI_REDIS_URL"
    if "redis_password_file" in given and address.password:
        yield "MLAPI_REDIS_PASSWORD_FILE is given, and MLAPI_REDIS_URL has a password, too; give one of them"
    if "redis_key_file" in given and "redis_cert_file" not in given:
        yield "MLAPI_REDIS_KEY_FILE needs MLAPI_REDIS_CERT_FILE, whose key it is"
    if "redis_sentinel_user" in given and "redis_sentinel_password_file" not in given:
        yield "MLAPI_REDIS_SENTINEL_USER needs MLAPI_REDIS_SENTINEL_PASSWORD_FILE"
