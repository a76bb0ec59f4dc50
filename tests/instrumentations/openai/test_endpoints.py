"""Which readers a request gets, and what its operation is called."""

from __future__ import annotations

import pytest

from cert_otel_instrumentations.openai._endpoints import find_endpoint


class TestModelled:
    """Endpoints whose requests and replies are understood."""

    @pytest.mark.parametrize(
        ("path", "operation"),
        [
            ("/chat/completions", "chat"),
            ("/completions", "text_completion"),
            ("/responses", "chat"),
            ("/embeddings", "embeddings"),
        ],
    )
    def test_are_found_by_method_and_path(self, path: str, operation: str) -> None:
        """In any case, with or without slashes, query, host and deployment."""
        for spelling in (
            path,
            path.lstrip("/"),
            f"{path}/",
            f"{path}?api-version=1",
            f"/openai/deployments/mine{path}",
            f"/deployments/chat{path}",
            f"https://api.openai.com/v1{path}",
        ):
            endpoint = find_endpoint("POST", spelling)
            assert (endpoint.operation, endpoint.kind) == (operation, None), spelling

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("get", "/responses/resp_1"),
            ("post", "/responses/resp_1/cancel"),
            ("get", "/responses/resp_1?stream=true"),
        ],
    )
    def test_a_stored_response_is_fetched(self, method: str, path: str) -> None:
        """Retrieving and cancelling are no inference: the call was counted when it was made."""
        endpoint = find_endpoint(method, path)

        assert (endpoint.operation, endpoint.kind) == ("fetch_response", "function")


class TestOthers:
    """Every other endpoint gets a span named after its path."""

    @pytest.mark.parametrize(
        ("method", "path", "operation"),
        [
            ("post", "/images/generations", "images.generations"),
            ("post", "/audio/transcriptions", "audio.transcriptions"),
            ("get", "/models", "models"),
            ("get", "/models/gpt-4o", "models"),
            ("get", "/files/file-abc123/content", "files.content"),
            ("post", "/threads/thread_1/runs", "threads.runs"),
            ("post", "/responses/compact", "responses.compact"),
            ("post", "/responses/input_tokens", "responses.input_tokens"),
            ("get", "/responses/resp_1/input_items", "responses.input_items"),
            ("delete", "/responses/resp_1", "responses"),
            ("post", "/chat/completions/chatcmpl-1", "chat.completions"),
            ("post", "/something/NEW", "something"),
            ("get", "/", "request"),
        ],
    )
    def test_ids_are_no_part_of_a_name(self, method: str, path: str, operation: str) -> None:
        """A name has one value for an endpoint, not one for an object."""
        endpoint = find_endpoint(method, path)

        assert (endpoint.operation, endpoint.kind) == (operation, "function")
