"""Parameters of requests, and what replies say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from cert_otel import semconv
from cert_otel.capture._fingerprint import pseudonymise

if TYPE_CHECKING:
    from tests.instrumentations.openai.conftest import Desk

PSEUDONYM: Final = "pseudonym"
"""Stands for the keyed hash of `u-17`."""
REPLY: Final = {"id": "chatcmpl-1", "model": "gpt-4o", "choices": []}
RESPONSE: Final = {"id": "resp_1", "model": "gpt-4o", "status": "completed", "output": []}


class TestChat:
    """Parameters that the conventions have a name for."""

    @pytest.mark.parametrize(
        ("name", "value", "attribute", "expected"),
        [
            ("temperature", 0.5, semconv.REQUEST_TEMPERATURE, 0.5),
            ("temperature", 1, semconv.REQUEST_TEMPERATURE, 1.0),
            ("top_p", 0.9, semconv.REQUEST_TOP_P, 0.9),
            ("frequency_penalty", -0.5, semconv.REQUEST_FREQUENCY_PENALTY, -0.5),
            ("presence_penalty", 0.5, semconv.REQUEST_PRESENCE_PENALTY, 0.5),
            ("max_tokens", 5, semconv.REQUEST_MAX_TOKENS, 5),
            ("max_completion_tokens", 5, semconv.REQUEST_MAX_TOKENS, 5),
            ("seed", 7, semconv.REQUEST_SEED, 7),
            ("n", 2, semconv.REQUEST_CHOICE_COUNT, 2),
            ("stop", ".", semconv.REQUEST_STOP_SEQUENCES, ["."]),
            ("stop", [".", "!"], semconv.REQUEST_STOP_SEQUENCES, [".", "!"]),
            ("service_tier", "flex", semconv.OPENAI_REQUEST_SERVICE_TIER, "flex"),
            ("reasoning_effort", "low", semconv.REQUEST_REASONING_LEVEL, "low"),
            ("response_format", {"type": "json_object"}, semconv.OUTPUT_TYPE, "json"),
            ("response_format", {"type": "text"}, semconv.OUTPUT_TYPE, "text"),
            ("user", "u-17", semconv.ENDUSER_PSEUDO_ID, PSEUDONYM),
            ("safety_identifier", "u-17", semconv.ENDUSER_PSEUDO_ID, PSEUDONYM),
        ],
    )
    def test_are_recorded(
        self, desk: Desk, name: str, value: Any, *, attribute: str, expected: Any
    ) -> None:
        """Each under its name, with its type."""
        desk.chat(REPLY, **{name: value})

        found = desk.attributes[attribute]
        assert found == (pseudonymise("u-17") if expected == PSEUDONYM else expected)
        assert type(found) is type(expected)

    @pytest.mark.parametrize(
        ("name", "value", "attribute"),
        [
            ("temperature", "hot", semconv.REQUEST_TEMPERATURE),
            ("temperature", True, semconv.REQUEST_TEMPERATURE),
            ("seed", 10**400, semconv.REQUEST_SEED),
            ("n", 1, semconv.REQUEST_CHOICE_COUNT),
            ("n", "two", semconv.REQUEST_CHOICE_COUNT),
            ("stop", [], semconv.REQUEST_STOP_SEQUENCES),
            ("stop", 3, semconv.REQUEST_STOP_SEQUENCES),
            ("service_tier", "auto", semconv.OPENAI_REQUEST_SERVICE_TIER),
            ("reasoning_effort", 3, semconv.REQUEST_REASONING_LEVEL),
            ("response_format", {"type": "poem"}, semconv.OUTPUT_TYPE),
            ("user", "", semconv.ENDUSER_PSEUDO_ID),
        ],
    )
    def test_defaults_and_nonsense_are_left_out(
        self, desk: Desk, name: str, value: Any, attribute: str
    ) -> None:
        """What says nothing, or cannot be that parameter, is absent."""
        desk.chat(REPLY, **{name: value})

        assert attribute not in desk.attributes

    def test_users_themselves_are_not_recorded(self, desk: Desk) -> None:
        """There is the pseudonym, and nothing of the name."""
        desk.chat(REPLY, user="ann@example.com")

        assert "ann" not in str(desk.span)

    def test_the_tier_and_the_build_that_answered(self, desk: Desk) -> None:
        """As the reply says, not as was asked."""
        desk.chat(
            {**REPLY, "service_tier": "default", "system_fingerprint": "fp_1"}, service_tier="flex"
        )

        assert desk.attributes[semconv.OPENAI_RESPONSE_SERVICE_TIER] == "default"
        assert desk.attributes[semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT] == "fp_1"

    def test_the_tier_decides_the_price(self, desk: Desk) -> None:
        """A reply from the flex tier costs what that tier costs."""
        usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
        reply = {"id": "c", "model": "gpt-5", "choices": [], "usage": usage}
        desk.chat({**reply, "service_tier": "default"})
        standard = desk.attributes[semconv.COST_AMOUNT]
        desk.spans.clear()
        desk.chat({**reply, "service_tier": "flex"})

        assert desk.attributes[semconv.COST_AMOUNT] == pytest.approx(standard / 2)


class TestEmbeddings:
    """Their own two."""

    def test_are_recorded(self, desk: Desk) -> None:
        """Dimensions, and how vectors are encoded."""
        embeddings = desk.open({"model": "m", "data": []}).embeddings
        embeddings.create(model="m", input="a", dimensions=8, encoding_format="float", user="u-17")

        assert desk.attributes[semconv.EMBEDDINGS_DIMENSION_COUNT] == 8
        assert desk.attributes[semconv.REQUEST_ENCODING_FORMATS] == ["float"]
        assert semconv.ENDUSER_PSEUDO_ID in desk.attributes


class TestResponses:
    """The same under other names, and what belongs to threads of them."""

    @pytest.mark.parametrize(
        ("name", "value", "attribute", "expected"),
        [
            ("max_output_tokens", 5, semconv.REQUEST_MAX_TOKENS, 5),
            ("reasoning", {"effort": "low"}, semconv.REQUEST_REASONING_LEVEL, "low"),
            ("text", {"format": {"type": "json_object"}}, semconv.OUTPUT_TYPE, "json"),
            ("previous_response_id", "resp_0", semconv.REQUEST_PREVIOUS_RESPONSE_ID, "resp_0"),
            ("conversation", "conv_1", semconv.CONVERSATION_ID, "conv_1"),
            ("conversation", {"id": "conv_1"}, semconv.CONVERSATION_ID, "conv_1"),
        ],
    )
    def test_are_recorded(
        self, desk: Desk, name: str, value: Any, *, attribute: str, expected: Any
    ) -> None:
        """Each under the name that chat has for it."""
        desk.open(RESPONSE).responses.create(model="gpt-4o", input="Hello", **{name: value})

        assert desk.attributes[attribute] == expected
        assert desk.attributes[semconv.OPENAI_API_TYPE] == "responses"

    @pytest.mark.parametrize(
        ("fields", "reasons", "error"),
        [
            ({"status": "completed"}, ["stop"], None),
            ({"status": "completed", "output": [{"type": "function_call"}]}, ["tool_calls"], None),
            (
                {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
                ["length"],
                None,
            ),
            (
                {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
                ["content_filter"],
                None,
            ),
            ({"status": "incomplete"}, ["incomplete"], None),
            (
                {"status": "failed", "error": {"code": "server_error", "message": "No."}},
                ["error"],
                "server_error",
            ),
            ({"status": "failed"}, ["error"], "failed"),
            ({"status": "queued"}, None, None),
            ({"status": None}, None, None),
        ],
    )
    def test_status(self, desk: Desk, fields: Any, reasons: Any, error: Any) -> None:
        """What became of it, as finish reason and, where it failed, as error."""
        desk.open({**RESPONSE, **fields}).responses.create(model="gpt-4o", input="Hello")

        assert desk.attributes.get(semconv.RESPONSE_FINISH_REASONS) == reasons
        assert desk.attributes.get(semconv.ERROR_TYPE) == error
        assert desk.attributes.get(semconv.RESPONSE_STATUS) == fields["status"]
        assert desk.span["status"] == ("UNSET" if error is None else "ERROR")

    def test_a_failure_in_a_stream(self, desk: Desk) -> None:
        """A stream whose last event is a failure ended in an error."""
        failed = {**RESPONSE, "status": "failed", "error": {"code": "server_error"}}
        events = [{"type": "response.failed", "sequence_number": 0, "response": failed}]
        list(desk.open(events).responses.create(model="gpt-4o", input="Hello", stream=True))

        assert desk.attributes[semconv.STREAM_OUTCOME] == "error"
        assert desk.attributes[semconv.ERROR_TYPE] == "server_error"
        assert desk.span["status"] == "ERROR"


class TestFingerprint:
    """Prompts are found again by a keyed hash."""

    def test_depends_on_texts_roles_and_their_order(self, desk: Desk) -> None:
        """The same prompt is the same fingerprint; another role or order is another."""
        first, second = {"role": "user", "content": "a"}, {"role": "user", "content": "b"}
        system = {"role": "system", "content": "a"}
        for messages in ([first, second], [first, second], [second, first], [system, second]):
            desk.chat(REPLY, messages=messages)
        found = [span["attributes"][semconv.PROMPT_FINGERPRINT] for span in desk.spans.spans()]

        assert found[0] == found[1]
        assert len(set(found)) == 3

    def test_instructions_count(self, desk: Desk) -> None:
        """The same input under other instructions is another prompt."""
        for instructions in ("Be brief.", "Be long."):
            responses = desk.open(RESPONSE).responses
            responses.create(model="gpt-4o", input="Hello", instructions=instructions)
        found = [span["attributes"][semconv.PROMPT_FINGERPRINT] for span in desk.spans.spans()]

        assert len(set(found)) == 2
