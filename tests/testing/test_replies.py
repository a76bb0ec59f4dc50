"""Replies and recorded requests."""

from __future__ import annotations

import pytest

from cert_otel.testing import RecordedRequest, Reply, ToolCall


def _record(kind: str, body: bytes) -> RecordedRequest:
    return RecordedRequest(
        number=1,
        method="POST",
        host="127.0.0.1",
        path="/v1/files",
        query={},
        headers={"content-type": kind},
        body=body,
    )


class TestReply:
    def test_logprobs_must_match_the_tokens(self) -> None:
        """A script that cannot be sent fails where it is written."""
        with pytest.raises(ValueError, match="1 logprobs for 2 tokens of text"):
            Reply("Hello there", logprobs=[-0.5])


class TestToolCall:
    def test_arguments_are_text_or_an_object(self) -> None:
        """Text is sent as it is, broken JSON too."""
        assert ToolCall("find", {"a": 1}).arguments_json == '{"a": 1}'
        assert ToolCall("find", '{"a": ').arguments_json == '{"a": '


class TestRecordedRequest:
    def test_json_body(self) -> None:
        """A JSON body is what was asked."""
        request = _record("application/json", b'{"model": "gpt-4o"}')

        assert request.json == request.fields == {"model": "gpt-4o"}
        assert request.form == {}

    def test_empty_body(self) -> None:
        """No body is no JSON, and asks nothing."""
        assert _record("application/json", b"").json is None
        assert _record("text/plain", b"x").fields == {}

    def test_form_body(self) -> None:
        """A form has texts, lists of texts, and bytes with a file name."""
        body = (
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
            b'--b\r\nContent-Disposition: form-data; name="include[]"\r\n\r\nlogprobs\r\n'
            b'--b\r\nContent-Disposition: form-data; name="include[]"\r\n\r\nmore\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
            b"Content-Type: audio/wav\r\n\r\n\x00\xff\r\n--b--\r\n"
        )

        assert _record("multipart/form-data; boundary=b", body).fields == {
            "model": "whisper-1",
            "file": b"\x00\xff",
            "filename": "a.wav",
            "include": ["logprobs", "more"],
        }
