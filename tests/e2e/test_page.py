"""The page for people: it works as a form, lets nothing foreign run, and asks the routes that programs ask."""

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import httpx
import pytest

from mlapi.access.key_text import make_key
from mlapi.page.files import FOLDER
from tests.e2e.api_keys import KeysFile, bearer
from tests.service_process import ServiceProcess

ROOT: Final = "/project/"
ASSETS: Final = (
    "assets/page.css",
    "assets/page.js",
    "docs/docs.css",
    "docs/docs.js",
    "docs/swagger-ui.css",
    "docs/swagger-ui-bundle.js",
)
VOID: Final = {"meta", "link", "input", "br"}
HOSTILE: Final = "</textarea><script>alert(1)</script>\"'&amp; $key ${x} <img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """A page taken apart; fails where an element is not closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self._open == [], "not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if not self._open:
            return
        tag, attributes = self._open[-1]
        name = attributes.get("id") or tag
        self.texts[name] = self.texts.get(name, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def fields(self) -> dict[str, str]:
        """The hidden fields, which the next form sends too."""
        return {str(one["name"]): str(one["value"]) for one in self.all("input") if one.get("type") == "hidden"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    store = tmp_path_factory.mktemp("feedback") / "feedback.db"
    with ServiceProcess(feedback_url=f"sqlite:///{store}", max_text_chars="20000") as process:
        yield process
        assert process.complaints == []


def send(service: ServiceProcess, headers: dict[str, str] | None = None, /, **fields: str) -> httpx.Response:
    return service.client.post(ROOT, data=fields, headers=headers)


def check_nothing_runs(answer: httpx.Response) -> Page:
    """Hold a page to what its policy and its readers need."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert policy.pop("img-src") == "'self' data:"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert answer.headers["x-content-type-options"] == "nosniff"
    page = Page(answer.text)
    assert page.all("html") == [{"lang": "en"}]
    assert [one for one in page.all("script") if set(one) - {"src", "type", "defer"} or not one.get("src")] == []
    assert page.all("style") == []
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("src", "href", "action"):
            assert not re.match(r"[a-z]+:(?!,$)|//", attributes.get(name) or ""), "an address elsewhere"
    labelled = {one.get("for") for one in page.all("label")}
    for one in (*page.all("textarea"), *page.all("select"), *page.all("input")):
        named = one.get("id") in labelled or "aria-label" in one
        assert named or one.get("type") in {"hidden", "checkbox"}, one  # a checkbox stands in its label
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    pointed = {
        one for _, attributes in page.elements for one in (attributes.get("aria-describedby"), attributes.get("form"))
    }
    assert pointed - {None} <= set(ids)
    return page


@pytest.mark.parametrize("root", [ROOT, "/lab/"])
def test_the_page_shows_its_model_and_leads_to_the_others(service: ServiceProcess, root: str) -> None:
    answer = service.client.get(root)
    page = check_nothing_runs(answer)
    assert answer.status_code == 200
    model = service.client.get(f"{root}model").json()
    assert model["digest"] in answer.text
    (link,) = (str(one["href"]) for one in page.all("a") if str(one["href"]).startswith(".."))
    assert urljoin(root, link) == ("/lab/" if root == ROOT else ROOT)
    for one in (*page.all("link"), *page.all("script"), *page.all("a")):
        address = str(one.get("href") or one.get("src"))
        assert address == "data:," or service.client.get(urljoin(root, address)).status_code == 200, address


def test_a_form_gets_the_answer_that_programs_get(service: ServiceProcess) -> None:
    told = service.predict("A moving film.\nTwice.", query="?detail=true").json()
    # Browsers end the lines of forms like this.
    answer = send(service, text="A moving film.\r\nTwice.")
    page = check_nothing_runs(answer)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["model-digest"] == service.client.get("/project/model").json()["digest"]
    scores = [(one["label"], one["score"]) for one in told["predictions"][0]]
    assert [(one["aria-label"], float(str(one["value"]))) for one in page.all("meter")] == scores
    assert "the cache of this process (L1)" in answer.text
    assert f"<dt>Tokens</dt><dd>{told['details'][0]['tokens']}</dd>" in answer.text
    assert page.texts["result-title"].startswith(scores[0][0])
    assert page.texts["text"] == "\nA moving film.\nTwice."
    assert page.texts["command"].startswith(
        f"curl {service.url}/project/predict -H 'Content-Type: application/json' -d "
    )


def test_what_a_visitor_writes_stays_text(service: ServiceProcess) -> None:
    page = check_nothing_runs(send(service, text=HOSTILE))
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert page.texts["text"] == "\n" + HOSTILE
    assert page.fields()["about"] == HOSTILE
    for field in ("id", "opinion", "choice", "about"):
        check_nothing_runs(
            send(service, **{"text": "good", "about": "good", "opinion": "x", "id": "x"} | {field: HOSTILE})
        )


@pytest.mark.parametrize(("length", "status"), [(20_000, 200), (20_001, 422)])
def test_a_text_of_the_most_characters_is_answered(service: ServiceProcess, length: int, status: int) -> None:
    answer = send(service, text=("Ä long 🎬 text. " * 2_000)[:length])
    page = check_nothing_runs(answer)
    assert answer.status_code == status
    if status == 200:
        assert "the model read 512 tokens, and not the rest" in answer.text
        assert page.texts["command"].endswith("-d @request.json")
        # With its opinion such a text is sent twice.
        again = send(service, text=page.texts["text"], **page.fields(), opinion="POSITIVE", consent="1")
        assert "Your opinion was taken." in again.text
    else:
        assert "characters" in answer.text


@pytest.mark.parametrize(
    ("fields", "headers", "status", "code"),
    [
        ({"text": ""}, {}, 422, "invalid_request"),
        ({"another": "field"}, {}, 422, "invalid_request"),
        ({}, {}, 415, "unsupported_media_type"),
        ({"text": "good", "id": "x", "opinion": "POSITIVE", "about": "good"}, {}, 422, "invalid_request"),
        ({"text": "good"}, {"content-encoding": "gzip"}, 415, "unsupported_content_encoding"),
        ({"text": "good"}, {"content-type": "text/plain"}, 415, "unsupported_media_type"),
        ({"text": "good"}, {"sec-fetch-site": "cross-site"}, 403, "foreign_form"),
        ({"text": "good"}, {"sec-fetch-site": "same-site"}, 403, "foreign_form"),
        ({"text": "good"}, {"origin": "https://evil.example"}, 403, "foreign_form"),
        ({"text": "good"}, {"origin": "null"}, 403, "foreign_form"),
        ({"text": "good"}, {"model-digest": "0" * 12}, 409, "model_mismatch"),
        ({str(number): "x" for number in range(20)}, {}, 422, "invalid_request"),
        ({"text": "x" * 600_000}, {}, 413, "payload_too_large"),
    ],
)
def test_a_refusal_is_shown_as_a_page(
    service: ServiceProcess, fields: dict[str, str], headers: dict[str, str], status: int, code: str
) -> None:
    answer = send(service, headers, **fields)
    page = check_nothing_runs(answer)
    assert (answer.status_code, f"<dd>{code}</dd>" in answer.text) == (status, True)
    assert page.texts["result-title"]
    assert answer.headers["x-request-id"] in answer.text


@pytest.mark.parametrize("body", [b"text=%FF%FE", b"text=\xff", b"text=%ED%A0%80", b"\x00"])
def test_what_is_no_form_is_refused(service: ServiceProcess, body: bytes) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = service.client.post(ROOT, content=body, headers=headers)
    check_nothing_runs(answer)
    assert answer.status_code == 422


def test_the_services_own_page_is_no_foreign_one(service: ServiceProcess) -> None:
    for headers in ({"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {"origin": service.url}):
        assert send(service, headers, text="good").status_code == 200


def test_an_opinion_is_taken_without_a_script(service: ServiceProcess) -> None:
    page = Page(send(service, text="An opinion by form.").text)
    offered = [str(one["value"]) for one in page.all("button") if one.get("name") == "opinion"]
    assert offered == service.client.get("/project/model").json()["labels"]
    for label, said in (
        ("NEGATIVE", "Your opinion was taken."),
        ("NEGATIVE", "known already"),
        ("POSITIVE", "took the place"),
    ):
        answer = send(service, text="something else by now", **page.fields(), opinion=label)
        assert answer.status_code == 200
        assert said in answer.text
        assert Page(answer.text).texts["text"] == "\nAn opinion by form."
    other = page.fields() | {"about": "Another text."}
    assert send(service, **other, opinion="POSITIVE", consent="1").status_code == 422


@pytest.mark.parametrize("root", [ROOT, "/lab/"])
def test_an_answer_is_explained_without_a_script(service: ServiceProcess, root: str) -> None:
    text = "A moving <b>film</b>,\nbut dull & far too long 🎬 indeed."
    told = service.client.post(f"{root}explain", json={"text": text}).json()
    fields = Page(service.client.post(root, data={"text": text}).text).fields()
    answer = service.client.post(root, data={"text": "something else by now"} | fields | {"explain": "1"})
    page = check_nothing_runs(answer)
    assert answer.status_code == 200
    assert page.texts["text"] == "\n" + text
    effects = [span["effect"] for span in told["spans"] if span["effect"] is not None]
    for effect in effects:
        assert f'<td class="share">{effect:+.2f}</td>' in answer.text
    assert page.texts["h3"] == f"What speaks for {told['label']}"
    marked = [str(one["class"]) for one in page.all("mark")]
    strongest = max(effects, key=abs)
    assert ("for s3" if strongest > 0 else "against s3") in marked
    written = re.search(r'<p class="spans">(.*?)</p>', answer.text, re.DOTALL)
    assert written is not None
    assert unescape(re.sub(r"</?mark[^>]*>", "", written[1])) == text


def test_what_cannot_be_explained_is_refused_as_a_page(service: ServiceProcess) -> None:
    for fields in ({"explain": "1"}, {"explain": "1", "about": ""}, {"explain": "1", "about": "x" * 20_001}):
        answer = send(service, text="good", **fields)
        check_nothing_runs(answer)
        assert answer.status_code == 422


def test_files_are_sent_once(service: ServiceProcess) -> None:
    for path in ("", "docs", *ASSETS):
        first = service.client.get(ROOT + path)
        assert (first.status_code, "no-cache" in first.headers["cache-control"]) == (200, True), path
        tag = first.headers["etag"]
        for known in (tag, f'W/{tag}, "other"', "*"):
            again = service.client.get(ROOT + path, headers={"if-none-match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert service.client.get(ROOT + path, headers={"if-none-match": '"other"'}).status_code == 200
        assert service.client.head(ROOT + path).headers["content-length"] == first.headers["content-length"]
        assert service.client.post(ROOT + path).status_code == (415 if path == "" else 405)


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("GZIP", True), ("gzip;q=0", False), ("identity", False), ("br", False)],
)
def test_the_large_files_are_compressed_for_who_takes_that(
    service: ServiceProcess,
    accepted: str,
    compressed: bool,  # noqa: FBT001  a case's
) -> None:
    with httpx.Client(base_url=service.url) as client:
        request = client.build_request("GET", f"{ROOT}docs/swagger-ui.css", headers={"accept-encoding": accepted})
        answer = client.send(request)
    assert answer.headers.get("content-encoding") == ("gzip" if compressed else None)
    assert answer.headers["vary"] == "accept-encoding"
    assert hashlib.sha256(answer.content).hexdigest() == VENDORED["sha256"]["swagger-ui.css"]
    assert int(answer.headers["content-length"]) == (26_771 if compressed else len(answer.content))


VENDORED: Final[dict[str, Any]] = json.loads((FOLDER / "swagger" / "vendored.json").read_text(encoding="utf-8"))


def test_what_is_carried_along_is_what_was_published() -> None:
    stored = {path.name.removesuffix(".gz"): path for path in (FOLDER / "swagger").glob("*.gz")}
    found = {name: hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest() for name, path in stored.items()}
    assert found == VENDORED["sha256"]
    assert "Apache License" in (FOLDER / "swagger" / "LICENSE").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in (FOLDER / "swagger").iterdir()) < 550_000


def test_the_address_without_a_slash_leads_to_the_page(service: ServiceProcess) -> None:
    answer = service.client.get("/project")
    assert (answer.status_code, urljoin("/project", answer.headers["location"])) == (307, ROOT)


def test_a_visit_counts_its_text_once(service: ServiceProcess) -> None:
    with service.counting() as rises:
        send(service, text="counted once")
    texts = {name: value for name, value in rises.items() if name.startswith("mlapi_texts_total")}
    assert sum(texts.values()) == 1
    assert rises['mlapi_http_requests_total{method="POST",route="/project/",status="200"}'] == 1


def test_keys_are_asked_for_and_never_sent_back(tmp_path: Path) -> None:
    file = KeysFile(tmp_path)
    key = file.add("visitor", scopes=["predict", "feedback"])
    explains = file.add("explains", scopes=["predict", "explain"])
    of_lab, asks = file.add("of lab", models=["lab"]), file.add("asks", models=["project"])
    settings: dict[str, Any] = {"keys_file": str(file.path), "feedback_url": f"sqlite:///{tmp_path}/feedback.db"}
    with ServiceProcess(**settings) as service:
        for path in ("", "docs", *ASSETS):
            assert service.client.get(ROOT + path).status_code == 200, path
        open_page = service.client.get(ROOT)
        digest = service.client.get("/project/model", headers=bearer(key)).json()["digest"]
        assert (digest in open_page.text, "../lab/" in open_page.text) == (False, False)
        (field,) = (one for one in check_nothing_runs(open_page).all("input") if one.get("name") == "key")
        assert (field["type"], field.get("value")) == ("password", None)
        documentation = check_nothing_runs(service.client.get(f"{ROOT}docs"))
        assert [one["type"] for one in documentation.all("input")] == ["password"]
        for given, status in (("", 401), ("wrong", 401), (str(make_key()), 401), (str(of_lab), 403), (str(key), 200)):
            answer = send(service, text="good", key=given)
            check_nothing_runs(answer)
            assert answer.status_code == status
            assert not given or given not in answer.text
            assert ("www-authenticate" in answer.headers) == (status == 401)
            # A key of another model is told of that one.
            assert ("../lab/" in answer.text, digest in answer.text) == (status in {200, 403}, status == 200)
        assert "$MLAPI_KEY" in answer.text
        assert "../lab/" not in send(service, text="good", key=str(asks)).text
        fields = Page(answer.text).fields()
        assert send(service, **fields, opinion="POSITIVE", key=str(asks)).status_code == 403
        assert send(service, **fields, opinion="POSITIVE", key=str(key)).status_code == 200
        assert send(service, **fields, explain="1", key=str(key)).status_code == 403, "it lacks the scope explain"
        assert send(service, **fields, explain="1", key=str(explains)).status_code == 200
        assert send(service, bearer(key), text="good").status_code == 200
        assert str(key) not in service.log


def test_pages_can_be_switched_off() -> None:
    with ServiceProcess(engine="fake", pages="false", max_text_chars="100") as service:
        for path in ("/project", ROOT, f"{ROOT}docs", *(ROOT + path for path in ASSETS)):
            assert service.client.get(path).status_code == 404
        assert send(service, text="good").status_code == 404
        assert service.client.get(f"{ROOT}openapi.json").status_code == 200
