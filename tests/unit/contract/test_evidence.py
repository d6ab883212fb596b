"""What reports show as evidence: no keys, nothing endless, and curl lines that can be used."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import pytest

from openhands_contract.exchange import Exchange
from openhands_contract.redaction import REDACTED, Redactor
from openhands_contract.shortening import body_for_curl, shortened, shortened_body, shortened_command

KEY = "sk-0123456789abcdef"
URL = "http://localhost:3000/api/conversations"


def redactor(*wrong: str, key: str = KEY) -> Redactor:
    redact = Redactor()
    redact.learn(key, "$OPENHANDS_API_KEY")
    for one in wrong:
        redact.learn_wrong(one)
    return redact


class TestKeys:
    def test_a_key_is_taken_out_wherever_it_stands(self) -> None:
        for text in (f"X-Session-API-Key: {KEY}", f'{{"a": "x{KEY}y"}}', f"/files/{KEY}", f"\\n{KEY}"):
            assert KEY not in redactor()(text)
            assert "$OPENHANDS_API_KEY" in redactor()(text)

    def test_a_key_in_a_url_is_known_in_its_spelling_there(self) -> None:
        assert redactor(key="key/with+signs==")(f"{URL}?token=key%2Fwith%2Bsigns%3D%3D") == (
            f"{URL}?token=$OPENHANDS_API_KEY"
        )

    def test_a_short_key_is_not_taken_out_of_words(self) -> None:
        redact = redactor(key="local")
        assert redact("http://localhost/local") == "http://localhost/$OPENHANDS_API_KEY"
        assert redact("said\\nlocal") == "said\\n$OPENHANDS_API_KEY"

    @pytest.mark.parametrize(
        "text",
        [
            "curl -i http://host/api/nonsense",
            'curl -i --data-raw \'{"nonsense": "x"}\' http://host/api',
            '{"loc": ["body", "nonsense"]}',
        ],
    )
    def test_a_word_that_was_tried_as_a_key_stays_a_word(self, text: str) -> None:
        assert redactor("nonsense")(text) == text

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("-H 'x-session-api-key: nonsense'", '-H "x-session-api-key: $WRONG_KEY"'),
            ("-H 'authorization: Bearer nonsense'", '-H "authorization: Bearer $WRONG_KEY"'),
            ("'http://h/s?session_api_key=nonsense&a=b'", '"http://h/s?session_api_key=$WRONG_KEY&a=b"'),
            ("session_api_key=another", f"session_api_key={REDACTED}"),
        ],
    )
    def test_a_wrong_key_is_called_so_where_keys_stand(self, text: str, shown: str) -> None:
        assert redactor("nonsense")(text) == shown

    def test_what_is_nearly_the_key_is_taken_out_everywhere(self) -> None:
        redact = redactor(KEY[:-1], f"{KEY}x", KEY.swapcase())
        for wrong in (KEY[:-1], f"{KEY}x", KEY.swapcase()):
            assert redact(f"/files/{wrong}") == "/files/$WRONG_KEY"

    def test_a_key_that_opens_something_is_not_called_wrong(self) -> None:
        assert redactor(KEY)(f"/files/{KEY}") == "/files/$OPENHANDS_API_KEY"

    def test_a_key_that_nobody_knew_is_taken_out_too(self) -> None:
        assert redactor()('{"session_api_key": "unknown", "x": 1}') == (
            f'{{"session_api_key": "{REDACTED}", "x": 1}}'
        )
        assert redactor()('{"name": "TOKEN", "value": "unknown"}') == (
            f'{{"name": "TOKEN", "value": "{REDACTED}"}}'
        )

    def test_a_state_is_no_secret(self) -> None:
        update = '{"key": "execution_status", "value": "running"}'
        assert redactor()(update) == update

    def test_a_shell_puts_the_key_in_again(self) -> None:
        exchange = Exchange(
            "app-server", "GET", f"{URL}?a=b&c=$HOME", request_headers={"x-session-api-key": KEY}
        )
        sent = subprocess.run(
            ["/bin/sh", "-c", _printing(redactor()(exchange.as_curl()))],
            env={**os.environ, "OPENHANDS_API_KEY": KEY},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(sent.stdout) == ["-i", "-H", f"x-session-api-key: {KEY}", f"{URL}?a=b&c=$HOME"]


def _printing(command: str) -> str:
    """A shell command that prints what curl would be given."""
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    return command.replace("curl", f"{sys.executable} -c {shlex.quote(program)}", 1)


def posted(body: bytes) -> str:
    return Exchange("app-server", "POST", URL, request_body=body).as_curl()


class TestLength:
    def test_what_is_short_stays_whole(self) -> None:
        assert shlex.split(posted(b'{"title": "It\'s"}')) == [
            *("curl", "-i", "-X", "POST", "--data-raw", '{"title": "It\'s"}', URL)
        ]
        assert shortened("short") == "short"
        assert shortened_body("Größe".encode()) == "Größe"

    def test_a_long_body_is_named_and_described(self) -> None:
        line = posted(b'{"title":\n"' + b"t" * 100_000 + b'"}')
        assert len(line) < 500
        assert "\n" not in line
        command, _, remark = line.partition("  # body: ")
        assert shlex.split(command) == ["curl", "-i", "-X", "POST", "--data-binary", "@body", URL]
        assert remark.startswith('100013 bytes, beginning with "{\\"title\\":\\n\\"ttt')

    @pytest.mark.parametrize("body", [b"\xff\xfe{}", b"a\0b"])
    def test_a_body_that_cannot_stand_in_a_line_is_named(self, body: bytes) -> None:
        words, remark = body_for_curl(body)
        assert words == ["--data-binary", "@body"]
        assert f"{len(body)} bytes" in remark

    def test_a_long_answer_tells_how_long_it_was(self) -> None:
        answer = Exchange("app-server", "GET", URL, status=200, body=b"x" * 50_000).answer_text()
        assert len(answer) < 2100
        assert answer.endswith("… (cut: 50000 bytes in all)")

    def test_a_generated_line_keeps_its_url(self) -> None:
        head = "curl -X POST -H 'Content-Type: application/json'"
        line = shortened_command(f"{head} -d '{'x' * 9000}' {URL}")
        assert len(line) < 500
        assert line.startswith(f"{head} --data-binary @body {URL}  # body: 9002 characters")
        assert shortened_command(f"{head} -d '{{}}' {URL}") == f"{head} -d '{{}}' {URL}"
        assert len(shortened_command(f"curl {URL}/{'x' * 9000}")) < 4100
