"""One POST, at receivers of every kind."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator

import pytest

from actors.core.people.receiver import read_receiver
from tests.fix_receiver import Receiver
from web.post import NotTaken, post


def refusal(url: str, seconds: float = 10.0) -> str:
    with pytest.raises(NotTaken) as refused:
        post(read_receiver(url), {"words": "something"}, seconds)
    return str(refused.value)


def test_a_document_is_posted_as_json(receiver: Receiver) -> None:
    post(read_receiver(receiver.url + "?key=1"), {"words": "größer"}, 10.0)
    assert receiver.documents == [{"words": "größer"}]
    assert receiver.paths == ["/farm?key=1"]
    assert receiver.headers["Content-Type"] == "application/json"
    assert "Authorization" not in receiver.headers


def test_who_we_are_is_told_by_basic_authentication(receiver: Receiver) -> None:
    post(read_receiver(receiver.url.replace("127", "farm:p%40ss@127")), {}, 10.0)
    assert base64.b64decode(receiver.headers["Authorization"].removeprefix("Basic ")) == b"farm:p@ss"


def test_every_answer_but_a_success_is_a_refusal(receiver: Receiver) -> None:
    receiver.answers = [500, 404, 204]
    assert refusal(receiver.url) == "it answers 500 Internal Server Error"
    assert refusal(receiver.url) == "it answers 404 Not Found"
    post(read_receiver(receiver.url), {}, 10.0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    receiver.answers = [status]
    assert "redirects are not followed" in refusal(receiver.url)
    assert receiver.paths == ["/farm"]


def test_a_receiver_that_is_not_there_is_told_in_words(receiver: Receiver) -> None:
    receiver.down()
    assert refusal(receiver.url) == "Connection refused"
    receiver.up()


def test_a_receiver_that_hangs_is_given_up_in_time(receiver: Receiver) -> None:
    receiver.hung.clear()
    assert refusal(receiver.url, 0.1) == "no answer within 0.1 s"


@pytest.fixture
def dripping() -> Iterator[str]:
    """Yield the URL of a receiver that sends a byte now and then, for ever."""
    listening, over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def drip() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200")
            while not over.wait(0.02):
                connection.sendall(b" ")

    dripper = threading.Thread(target=drip)
    dripper.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    over.set()
    dripper.join()
    listening.close()


def test_a_receiver_that_answers_without_end_is_given_up_in_time(dripping: str) -> None:
    assert refusal(dripping, 0.2) == "no answer within 0.2 s"


def test_what_is_no_http_is_told_without_its_words() -> None:
    listening = socket.create_server(("127.0.0.1", 0))

    def talk() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"SSH-2.0-geheim\r\n")

    talking = threading.Thread(target=talk)
    talking.start()
    assert (
        refusal(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        == "it does not speak HTTP as it should (BadStatusLine)"
    )
    talking.join()
    listening.close()


def test_a_receiver_without_tls_is_no_https(receiver: Receiver) -> None:
    assert refusal(receiver.url.replace("http:", "https:"), 2.0)
    assert receiver.documents == []
