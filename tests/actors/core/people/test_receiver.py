"""The URL of setting `webhook`."""

from __future__ import annotations

import pytest

from actors.core.people.receiver import BadReceiver, read_receiver


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example", "https://hooks.example"),
        ("https://hooks.example:443/", "https://hooks.example"),
        ("http://hooks.example:8080", "http://hooks.example:8080"),
        ("https://farm:geheim@hooks.example", "https://***@hooks.example"),
        ("https://farm@hooks.example", "https://***@hooks.example"),
        ("https://hooks.example/services/geheim", "https://hooks.example/..."),
        ("https://hooks.example?key=geheim", "https://hooks.example/..."),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_a_receiver_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    receiver = read_receiver(url)
    assert str(receiver) == shown
    assert "geheim" not in repr(receiver)


def test_its_parts_are_those_that_are_spoken_to() -> None:
    receiver = read_receiver("https://farm:p%40ss@hooks.example:8443/a/b?c=d#e")
    assert (receiver.scheme, receiver.host, receiver.port) == ("https", "hooks.example", 8443)
    assert (receiver.target, receiver.user, receiver.password) == ("/a/b?c=d", "farm", "p@ss")


@pytest.mark.parametrize(
    "url",
    [
        "hooks.example",
        "ftp://farm:geheim@hooks.example",
        "https://",
        "https://:geheim@/",
        "https://hooks.example:geheim/",
        "https://hooks.example:0/",
        "https://[::1/",
        "https://hooks.example/a b",
        "https://hooks.example/\r\nHost: geheim",
        "https://höoks.example/",
    ],
)
def test_what_is_no_receiver_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadReceiver, match="must be a URL, as https://") as refused:
        read_receiver(url)
    assert "geheim" not in str(refused.value)
