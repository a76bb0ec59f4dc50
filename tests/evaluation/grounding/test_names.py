"""Names, and the variants under which a context knows them."""

from __future__ import annotations

import pytest

from cert_otel.evaluation.grounding.reading import Reading

TEXT = (
    "The National Aeronautics and Space Administration hired Joanne Kathleen Rowling. "
    "Later on, President Barack Obama met Angela Merkel, of the United States of America and "
    "Germany, near the University of Oxford. The company in China is small."
)
CONTEXT = Reading((TEXT,))


def measure(text: str) -> float:
    """Ask the context for the only name of a text."""
    ((_, name),) = Reading((text,)).names
    return CONTEXT.name_index.measure(name, CONTEXT.holders)


class TestFindNames:
    def test_runs_of_capitals(self) -> None:
        """Links are part of a name, titles are not, and "and" parts two."""
        names = [name.surfaces for _, name in CONTEXT.names]

        assert ("Barack", "Obama") in names
        assert ("University", "Oxford") in names
        assert ("United", "States", "America") in names
        assert ("Germany",) in names

    def test_beginnings_of_sentences(self) -> None:
        """One word that begins a sentence is marked: it may be a name or not."""
        names = {
            name.surfaces: name.is_initial for _, name in Reading(("Apples fell. NASA",)).names
        }

        assert names == {("Apples",): True, ("NASA",): False}

    def test_months_and_currencies(self) -> None:
        """A month cut short and the code of a currency are parts of dates and amounts."""
        assert Reading(("They paid USD 5 million on 3 Nov 2009.",)).names == []

    def test_capitals_throughout(self) -> None:
        """Where every letter is a capital, capitals show no names."""
        assert Reading(("THE BOARD DID APPROVE OF IT",)).names == []


class TestNameIndex:
    @pytest.mark.parametrize(
        "text",
        [
            "he met Obama",
            "he met Barack Obama",
            "he met President Obama",
            "by J. K. Rowling",
            "by NASA",
            "in the US of today, at Oxford University",
        ],
    )
    def test_variants(self, text: str) -> None:
        """Surnames, initials, acronyms and other orders stand for the name."""
        for _, name in Reading((text,)).names:
            assert CONTEXT.name_index.measure(name, CONTEXT.holders) == 1

    def test_peoples(self) -> None:
        """A people stands for its land."""
        assert measure("a Chinese company") == 1
        assert measure("an Indian company") == 0

    def test_mixed_names(self) -> None:
        """The first name of one and the surname of another are nobody."""
        assert measure("he met Angela Obama") == 0.5
        assert measure("he met Donald Tusk") == 0

    def test_namesakes(self) -> None:
        """Another first name with the same surname says otherwise."""
        ((_, name),) = Reading(("he met Michelle Obama",)).names
        other = CONTEXT.name_index.find_other(name)

        assert other is not None
        assert other.surfaces == ("Barack", "Obama")
