"""Reads what the page's form sends, and refuses forms of other sites."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from mlapi.errors import ForeignFormError, InvalidRequestError, UnsupportedEncodingError, UnsupportedMediaError

MEDIA_TYPE: Final = b"application/x-www-form-urlencoded"
_MAX_FIELDS: Final = 16


@dataclass(frozen=True, slots=True)
class Form:
    """What the form says.

    Attributes:
        text: to classify.
        key: the API key, where there is a field for one.
        about: the text whose answer the page shows.
        id: of that answer.
        opinion: what that text is, in the visitor's opinion; empty: no opinion is given.
        consent: whether that text may be kept.
        explain: whether to say which words of it speak for its label.
    """

    text: str = ""
    key: str = ""
    about: str = ""
    id: str = ""
    opinion: str = ""
    consent: bool = False
    explain: bool = False


def check_origin(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Hold a form to this site: any other site's page could send one, and an intranet's service is within its reach.

    Browsers say where a request comes from by `Sec-Fetch-Site`, or, where the connection is not encrypted, by `Origin`.
    What sends neither is no browser.

    Raises:
        ForeignFormError: it comes from another site.
    """
    fields = dict(headers)
    site = fields.get(b"sec-fetch-site")
    if site is not None:
        own = site in {b"same-origin", b"none"}
    elif (origin := fields.get(b"origin")) is not None:
        try:
            own = (
                urlsplit(origin.decode("latin-1")).netloc.lower() == fields.get(b"host", b"").decode("latin-1").lower()
            )
        except ValueError:
            own = False
    else:
        own = True
    if not own:
        msg = "this form is taken from this service's own page alone; programs use the route predict"
        raise ForeignFormError(msg)


def check_media_type(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Accept forms.

    Raises:
        UnsupportedMediaError: the body is said to be something else.
        UnsupportedEncodingError: it is encoded.
    """
    fields = dict(headers)
    if fields.get(b"content-type", b"").partition(b";")[0].strip().lower() != MEDIA_TYPE:
        msg = "send the form as application/x-www-form-urlencoded"
        raise UnsupportedMediaError(msg)
    if fields.get(b"content-encoding", b"identity").lower() != b"identity":
        msg = "send the form as it is, without a content coding"
        raise UnsupportedEncodingError(msg)


def read_form(body: bytes) -> Form:
    """Read a form; of a repeated field the last counts, unknown ones are left out.

    Raises:
        InvalidRequestError: it is no form in UTF-8.
    """
    try:
        fields = dict(
            parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
        )
    except ValueError:
        msg = "the form is not URL-encoded UTF-8, or has too many fields"
        raise InvalidRequestError(msg) from None
    get = fields.get
    return Form(
        text=_plain_lines(get("text", "")),
        key=get("key", "").strip(),
        about=_plain_lines(get("about", "")),
        id=get("id", ""),
        # Where there are many labels, they are in a list beside the button.
        opinion=get("opinion") or (get("choice", "") if "opinion" in fields else ""),
        consent="consent" in fields,
        explain="explain" in fields,
    )


def _plain_lines(text: str) -> str:
    """Undo what forms do to line ends, so that a text has the same entry in the cache as when it is sent as JSON."""
    return text.replace("\r\n", "\n")
