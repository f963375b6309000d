"""Asks services for the same new text twice each, says how they answered, and how their caches are doing."""

import http.client
import json
import os
import secrets
import sys
import time
from urllib.parse import urlsplit

PATIENCE_S = 60.0
KEY = os.environ.get("API_KEY", "")
"""Of a service that asks for one."""

HEADERS = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {KEY}"} if KEY else {})
ANSWER_S = 20.0


def connect(address: str, give_up_at: float) -> http.client.HTTPConnection:
    """Return an open connection; the policies that let us through may take a while to be known everywhere."""
    while True:
        connection = http.client.HTTPConnection(address, timeout=ANSWER_S)
        try:
            connection.connect()
        except OSError as error:
            if time.monotonic() > give_up_at:
                sys.exit(f"{address} cannot be reached: {error}")
            time.sleep(0.5)
        else:
            return connection


def ask(connection: http.client.HTTPConnection, path: str, text: str) -> str:
    """Ask for a prediction, write it out, and return its `Cache-Status`."""
    connection.request("POST", path, json.dumps({"text": text}), HEADERS)
    response = connection.getresponse()
    body = response.read().decode()
    cache = response.getheader("Cache-Status", "")
    sys.stdout.write(f"{response.status} {cache}\n{body}\n")
    if response.status != http.HTTPStatus.OK or not is_prediction(json.loads(body)):
        sys.exit("this is not a prediction")
    return cache


def is_prediction(answer: object) -> bool:
    """Tell whether an answer holds the labels of one text, with a score each."""
    match answer:
        case {"predictions": [[_, _, *_] as labels]}:
            return all(
                isinstance(item, dict) and isinstance(item.get("label"), str) and 0 <= item.get("score", -1) <= 1
                for item in labels
            )
    return False


def cache_state(connection: http.client.HTTPConnection, path: str) -> str:
    """Return how the service's cache is doing: the second answer may be a hit of the process's own tier."""
    connection.request("GET", path, headers=HEADERS)
    cache = json.loads(connection.getresponse().read())["cache"]
    return ", ".join(filter(None, (cache["status"], cache.get("reason"))))


def main(url: str) -> None:
    """Ask twice, on one connection: so the second answer comes from the process that gave the first."""
    sys.stdout.write(f"{url}\n")
    parts = urlsplit(url)
    connection = connect(parts.netloc, time.monotonic() + PATIENCE_S)
    text = f"The rollout went well, thank you. {secrets.token_hex(4)}"
    ask(connection, f"{parts.path}/predict", text)
    cache = ask(connection, f"{parts.path}/predict", text)
    sys.stdout.write(f"the second answer: {'a hit' if '; hit' in cache else 'no hit, the cache is off or away'}\n")
    sys.stdout.write(f"the cache: {cache_state(connection, f'{parts.path}/health')}\n")


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit("which services? python -m tools.smoke_test URL …")
    for service in sys.argv[1:]:
        main(service)
