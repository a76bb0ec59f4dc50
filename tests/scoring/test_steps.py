"""Answers to their reasoning steps."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cert_otel.scoring.steps import Step, split_steps

SCRAPS = st.sampled_from(
    [
        *'.!?…。！？।`"“”「」«»*_#-|<>()[]{}~ \n\t\r1aBé漢กक',  # noqa: RUF001 - scripts
        *("```", "~~~~", "<think>", "</think>", "<tool_call>", "</tool_call>", "\n\n", "\n- "),
        *("1. ", "Dr. ", "e.g. ", "3.14", "A long enough sentence here. ", "...", "| a | b |\n"),
        *("Action: ", "\nObservation: ", "Step 2", "https://a.example/b.c?d=1 ", "\ud800", "\0"),
    ]
)
nasty = st.lists(SCRAPS, max_size=60).map("".join)


def texts(text: str) -> list[str]:
    """Split, and look at the texts alone."""
    return [step.text for step in split_steps(text)]


class TestOffsets:
    @given(nasty | st.text(max_size=200), st.integers(0, 6), st.integers(1, 8))
    def test_cover_the_text(self, text: str, min_tokens: int, max_steps: int) -> None:
        """Steps follow each other from the first character to the last, without overlap."""
        steps = split_steps(text, min_tokens=min_tokens, max_steps=max_steps)

        assert len(steps) <= max_steps
        if steps:
            assert "".join(text[step.start : step.end] for step in steps) == text
            assert [step.start for step in steps] == [0, *(step.end for step in steps[:-1])]
            assert all(step.start < step.end for step in steps)

    @given(nasty)
    def test_of_nothing_visible_are_none(self, text: str) -> None:
        """There are steps exactly if something is visible beside tags."""
        for tag in ("<think>", "</think>", "<tool_call>", "</tool_call>"):
            text = text.replace(tag, " ")

        assert bool(split_steps(text)) == bool(text.strip())

    @given(nasty)
    def test_show_what_lies_between(self, text: str) -> None:
        """A step's text is what is embedded: its characters, trimmed, never empty."""
        for step in split_steps(text):
            assert step.text
            assert step.text == step.text.strip()
            assert "<think>" not in step.text

    def test_are_those_of_the_original(self) -> None:
        """Positions count characters of the text that was given, white space included."""
        text = "  First comes this thing. Then that other thing.\n"

        assert split_steps(text) == (
            Step(0, 26, "sentence", "First comes this thing."),
            Step(26, 49, "sentence", "Then that other thing."),
        )


class TestSentences:
    @pytest.mark.parametrize(
        "text",
        [
            "Dr. Smith met Prof. Jones and Mrs. Lee on St. James Street.",
            "The pipe is 3.14 m long and costs $1,299.50 in all.",
            "It lies at https://example.com/a.b?c=1.2 and www.example.org today.",
            "Fruit, e.g. apples, i.e. the red ones, cf. Fig. 3 and No. 7 there.",
            "J. R. R. Tolkien wrote about the U.S. Army in his letters.",
            "He said “Stop. Now. Please.” and then he left the room.",
            'He said "Stop. Now. Please." and then he left the room.',
            "Call `a.b. C.d()` before you do anything else with it.",
            "So . . . Nobody knows what that is about.",
            "Well ... that is what they always say, isn't it.",
            "The sequence 1, 2, ..., 10 has ten members in it.",
            "Yahoo! is a company and Why? was once a song.",
            "As Vaswani et al. (2017) and Acme Inc. and others say.",
        ],
    )
    def test_stay_whole(self, text: str) -> None:
        """Abbreviations, decimals, addresses, quotations, code and ellipses end none."""
        assert texts(text) == [text]

    @pytest.mark.parametrize(
        ("text", "second"),
        [
            ("This is the first one. And this is another one.", "And"),
            ("Is this the first one? Yes, that is the first one.", "Yes, that"),
            ("He said “This is the end.” Then he left the room.", "Then"),
            ("**This one is quite bold.** This one here is not.", "This one here"),
            ("We met there at 5 p.m. Then we all went home.", "Then"),
            ("We sell pens, paper, ink, etc. They all sell well.", "They"),
            ("I thought about it for long... The answer is no.", "The"),
            ("The answer to it is 4. The question was another.", "The question"),
            ("So do you and I. Then they come along too.", "Then"),
            ("We ask for the first time. 2. Then we ask again.", "2. Then"),
            ("¿Qué es lo que quiere? ¡No lo sabe nadie aquí!", "¡No"),
            ("it goes wrong all the time. nobody knows why it does.", "nobody"),
        ],
    )
    def test_end_at_full_stops(self, text: str, second: str) -> None:
        """A mark and white space end a sentence; quotation marks and emphasis belong to it."""
        first, last = split_steps(text)

        assert text[last.start :].startswith(second)
        assert first.end == last.start

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            (
                "今天天气很好！我们去公园吧？他说：“好。”然后走了。",  # noqa: RUF001 - Chinese
                ["今天天气很好！", "我们去公园吧？", "他说：“好。”然后走了。"],  # noqa: RUF001
            ),
            (
                "彼は「はい。」と言った。円周率は３．１４です。",  # noqa: RUF001 - Japanese
                ["彼は「はい。」と言った。", "円周率は３．１４です。"],  # noqa: RUF001
            ),
            (
                "यह पहला वाक्य है। यह दूसरा वाक्य है।",
                ["यह पहला वाक्य है।", "यह दूसरा वाक्य है।"],
            ),
            (
                "วันนี้อากาศดีมากเลยนะครับ เราไปเที่ยวกันเถอะวันนี้",
                ["วันนี้อากาศดีมากเลยนะครับ", "เราไปเที่ยวกันเถอะวันนี้"],
            ),
            (
                "هل هذا هو السؤال الأول؟ نعم هذا هو السؤال.",
                ["هل هذا هو السؤال الأول؟", "نعم هذا هو السؤال."],
            ),
        ],
    )
    def test_end_in_other_scripts(self, text: str, parts: list[str]) -> None:
        """Chinese, Japanese, Hindi, Arabic by their marks, Thai by its spaces."""
        assert texts(text) == parts

    def test_run_on_over_soft_line_breaks(self) -> None:
        """A line that begins with a small letter continues the one before."""
        text = "This sentence is broken\nover two lines.\nLet x be equal to 5\nThen y is equal to 7"

        assert texts(text) == [
            "This sentence is broken\nover two lines.",
            "Let x be equal to 5",
            "Then y is equal to 7",
        ]


class TestBlocks:
    def test_keep_list_items_whole(self) -> None:
        """Numbered and bulleted items are steps, whatever sentences they hold."""
        text = (
            "We do it as follows now:\n"
            "1. First, compute the sum. Then halve it.\n   Round it off.\n"
            "2) Second, look at the sign.\n"
            "- A bullet of some length here\n"
            "  * A nested bullet of some length\n"
            "Step 3: Write the result down. Done."
        )

        assert [(step.kind, step.text.split()[0]) for step in split_steps(text)] == [
            ("sentence", "We"),
            ("item", "1."),
            ("item", "2)"),
            ("item", "-"),
            ("item", "*"),
            ("item", "Step"),
        ]

    @pytest.mark.parametrize("fence", ["```", "~~~~"])
    def test_keep_code_whole(self, fence: str) -> None:
        """A fenced block is one step, with all that would split prose."""
        code = f"{fence}python\nx = 1.  # One. Two.\n\n- y\n<think>\n{fence}"
        text = f"This is how it works:\n{code}\nThat was all of it."

        assert [(step.kind, step.text) for step in split_steps(text)] == [
            ("sentence", "This is how it works:"),
            ("code", code),
            ("sentence", "That was all of it."),
        ]

    def test_find_tags_between_code(self) -> None:
        """Tags in blocks are code, those between them are not."""
        text = "```\n<think>\n```\n<think>\nwhat is asked is this\n</think>\n```\n</think>\n```\n"

        assert [(step.kind, step.text) for step in split_steps(text)] == [
            ("code", "```\n<think>\n```"),
            ("sentence", "what is asked is this"),
            ("code", "```\n</think>\n```"),
        ]

    def test_take_open_code_to_the_end(self) -> None:
        """A block that was cut off is code to its end; one of a thought, to the thought's."""
        cut = split_steps("This is how it works:\n```\nx = 1.\n\nY = 2. Z")
        thought = split_steps("<think>\n```\nx = 1\n</think>\nThis is the answer now.")

        assert [step.kind for step in cut] == ["sentence", "code"]
        assert [step.kind for step in thought] == ["code", "sentence"]

    def test_keep_tables_whole(self) -> None:
        """Rows that follow each other are one step."""
        text = "| a | b |\n|---|---|\n| 1. X | 2. Y |\nThis is what it says."

        assert [step.kind for step in split_steps(text)] == ["table", "sentence"]

    def test_split_thoughts_at_lines(self) -> None:
        """In `<think>` each line is a step at least, with a small letter too."""
        text = "<think>\nso what is asked here\nwell it is this one\n</think>\nIt is 42, says he."

        assert texts(text) == ["so what is asked here", "well it is this one", "It is 42, says he."]

    def test_know_a_thought_by_its_end(self) -> None:
        """Where the prompt opened it, what comes before `</think>` is thought."""
        text = "so what is asked here\nwell it is this one\n</think>\n\nIt is 42, says he."

        assert texts(text) == ["so what is asked here", "well it is this one", "It is 42, says he."]

    def test_skip_empty_thoughts(self) -> None:
        """Tags around nothing are no step."""
        assert texts("<think>\n\n</think>\n\nHello there, my friend.") == [
            "Hello there, my friend."
        ]

    def test_keep_tool_turns_whole(self) -> None:
        """A call and what came back are steps, in tags or in the words of ReAct."""
        tags = (
            'I will look that up. <tool_call>{"q": "A. B. C"}</tool_call>\n'
            "<tool_response>\nOne. Two.\n\nThree.\n</tool_response>\nIt is three, as found."
        )
        words = (
            "Thought: I have to look it up.\nAction: search\nAction Input: A. B\n"
            "Observation: One. Two.\nThree. Four.\nFinal Answer: It is three, as found."
        )

        assert [step.kind for step in split_steps(tags)] == ["sentence", "tool", "tool", "sentence"]
        assert [step.kind for step in split_steps(words)] == [
            "sentence",
            "tool",
            "tool",
            "sentence",
        ]


class TestJoining:
    def test_short_ones_join_what_follows(self) -> None:
        """Fewer than four words are no step; the last ones join what they follow."""
        assert texts("Sure! Here you are, sir. It is 42. Bye!") == [
            "Sure! Here you are, sir.",
            "It is 42. Bye!",
        ]
        assert texts("It is as I said. Bye!") == ["It is as I said. Bye!"]

    def test_borders_are_kept(self) -> None:
        """A short answer does not join the thought before, nor a tool turn."""
        assert texts("<think>\nwhat is asked is this\n</think>\n42.") == [
            "what is asked is this",
            "42.",
        ]
        assert texts("Wait. <tool_call>{}</tool_call>") == ["Wait.", "{}"]

    def test_ideographs_count_as_words(self) -> None:
        """Four of them are a step; letters of an unspaced script count by fours."""
        assert texts("天气很好。我们走吧。") == ["天气很好。", "我们走吧。"]
        assert texts("好。我们走吧。") == ["好。我们走吧。"]

    def test_joins_evenly_beyond_the_most(self) -> None:
        """Of 130 sentences 64 steps are left, of two or three sentences each."""
        text = " ".join(f"This is sentence number {n}." for n in range(130))

        steps = split_steps(text)

        assert len(steps) == 64
        assert {step.text.count("sentence") for step in steps} == {2, 3}

    def test_keeps_short_ones_if_asked(self) -> None:
        """With a minimum of 1 each sentence is a step."""
        assert len(split_steps("Yes. No. So.", min_tokens=1)) == 3


class TestTime:
    @settings(max_examples=25, deadline=None)
    @given(st.lists(SCRAPS, min_size=1, max_size=4).map("".join))
    @example(".")
    @example('"')
    @example("“a. ")
    @example("((. ")
    @example("<think>")
    @example("```\n")
    @example(" ")
    def test_grows_with_the_length(self, unit: str) -> None:
        """Whatever repeats, ten times the text takes ten times as long, not a hundred times."""
        short, long = (measure_cpu_s(unit * (count // len(unit))) for count in (5_000, 50_000))

        assert long < 40 * short + 0.05


def measure_cpu_s(text: str) -> float:
    """Return the CPU seconds of the faster of two runs."""
    taken = []
    for _ in range(2):
        begin = time.thread_time()
        split_steps(text)
        taken.append(time.thread_time() - begin)
    return min(taken)
