"""Where a webhook may be sent to: what two parsers would read in two ways is refused."""

from contextlib import suppress
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import InvalidInput
from tests.factories import a_new_job

BAD_URLS: Final = {
    "empty": "",
    "no scheme": "hooks.example/x",
    "no host": "https:///x",
    "no slashes": "https:hooks.example",
    "another scheme": "ftp://hooks.example/x",
    "a script": "javascript:alert(1)",
    "a file": "file:///etc/passwd",
    "only a port": "http://:80/",
    "port 0": "http://hooks.example:0/",
    "port out of range": "http://hooks.example:65536/",
    "port of letters": "http://hooks.example:http/",
    "half an IPv6 address": "http://[::1/",
    "a user": "https://ada@hooks.example/x",
    "a password": "https://ada:secret@hooks.example/x",
    "no user": "https://@hooks.example/x",
    "a fragment": "https://hooks.example/x#part",
    "an empty fragment": "https://hooks.example/x#",
    "a space": "https://hooks.example/a b",
    "a space before": " https://hooks.example/",
    "a newline": "https://hooks.example/\nx",
    "a tab in the host": "https://hooks\t.example/",
    "a space that is not ASCII": "https://hooks.example/\u2003x",
    "a backslash": "https://hooks.example\\.evil.example/",
    "NUL": "https://hooks.example/\x00",
    "a lone surrogate": "https://hooks.example/\ud800",
    "a host that normalises to another": "https://hooks.example\uff0fx/",
    "too long": "https://hooks.example/" + "x" * 1979,
}
GOOD_URLS: Final = [
    "https://hooks.example",
    "HTTP://Hooks.Example:8080/a/b;c?d=e&f=g%20h@i",
    "http://127.0.0.1:9000/",
    "http://[::1]:9000/x",
    "https://hooks.example/龍",
    "https://hooks.example/" + "x" * 1978,
]


def kept(url: str | None) -> str | None:
    """Return what is stored of the URL of a request."""
    return a_new_job(webhook_url=url).job.webhook_url


@pytest.mark.parametrize("case", BAD_URLS)
def test_what_no_webhook_can_be_sent_to_is_refused_by_its_path(case: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        kept(BAD_URLS[case])
    error = caught.value
    assert error.path == ("input", "webhookUrl")
    assert "secret" not in str(error)


@pytest.mark.parametrize("url", GOOD_URLS)
def test_the_address_of_a_webhook_is_kept_as_it_was_given(url: str) -> None:
    assert kept(url) == url


def test_no_webhook_is_called_unless_one_was_given() -> None:
    assert kept(None) is None


@given(text=st.text(st.characters(exclude_categories=())))
def test_no_text_raises_anything_but_invalid_input(text: str) -> None:
    for url in (text, f"http://{text}", f"http://hooks.example/{text}"):
        with suppress(InvalidInput):
            assert kept(url) == url
