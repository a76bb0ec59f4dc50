"""Keyed hashes: equal prompts are found, and only with the key."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cert_otel import config
from cert_otel.capture._fingerprint import fingerprint_prompt, pseudonymise, share_key

if TYPE_CHECKING:
    from pathlib import Path

PARTS = st.lists(st.text(max_size=8), max_size=5)


class TestFingerprint:
    @given(PARTS)
    def test_equal_prompts_are_equal(self, parts: list[str]) -> None:
        """The same parts in the same order have one fingerprint, 32 hexadecimal digits."""
        found = fingerprint_prompt(parts)

        assert found == fingerprint_prompt(tuple(parts))
        assert len(bytes.fromhex(found)) == 16

    @given(PARTS, PARTS)
    @example(["user", "ab", "c"], ["user", "a", "bc"])
    @example(["ab"], ["a", "b"])
    @example(["a", ""], ["a"])
    @example([""], [])
    @example(["1:a"], ["", "a"])
    @example(["2:ab", "c"], ["", "2:ab" + "c"])
    def test_others_differ(self, one: list[str], other: list[str]) -> None:
        """Moving text from one part to the next is another prompt."""
        assert (fingerprint_prompt(one) == fingerprint_prompt(other)) == (one == other)

    def test_no_text_is_too_strange(self) -> None:
        """A lone surrogate, which JSON can carry and UTF-8 cannot, is hashed like any."""
        assert fingerprint_prompt(["\ud83d"]) != fingerprint_prompt(["?"])

    def test_a_user_is_not_a_prompt(self) -> None:
        """The same text gives unrelated hashes for the two purposes."""
        assert pseudonymise("u-17") != fingerprint_prompt(["u-17"])


class TestKey:
    def test_it_decides(self) -> None:
        """Another key, another hash; the same key, the same hash in every process."""
        config.configure(hash_key="first")
        first = (fingerprint_prompt(["user", "Hi"]), pseudonymise("u-17"))
        config.configure(hash_key="second")
        second = (fingerprint_prompt(["user", "Hi"]), pseudonymise("u-17"))

        assert first == ("40ee5b8d44c63bf6ced9eee6cde4ab0d", "dc0edd6d1db937e147b83a648aee0481")
        assert set(first).isdisjoint(second)

    def test_the_environment_gives_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`CERT_OTEL_HASH_KEY` is the key."""
        config.configure(hash_key="first")
        expected = pseudonymise("u-17")
        monkeypatch.setenv("CERT_OTEL_HASH_KEY", "first")
        config.reset()

        assert pseudonymise("u-17") == expected

    def test_without_one_it_lasts_as_long_as_the_process(self) -> None:
        """Nothing is written where there is no journal, and another process has another key."""
        program = (
            "from cert_otel.capture._fingerprint import pseudonymise as p;print(p('u'), p('u'))"
        )
        one, other = (
            subprocess.run(
                [sys.executable, "-c", program], capture_output=True, text=True, check=True
            ).stdout.split()
            for _ in range(2)
        )

        assert one[0] == one[1]
        assert other[0] == other[1]
        assert one[0] != other[0]


class TestKeyFile:
    def test_it_lies_beside_the_journal_for_its_owner_alone(self, tmp_path: Path) -> None:
        """32 random bytes, mode 0600, and nothing else is left in the folder."""
        share_key(str(tmp_path / "calls.jsonl"))
        pseudonymise("u-17")

        key = tmp_path / "calls.jsonl.key"
        assert list(tmp_path.iterdir()) == [key]
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert len(key.read_bytes()) == 32

    def test_it_is_made_only_when_it_is_needed(self, tmp_path: Path) -> None:
        """A key of the user's own needs no file."""
        config.configure(hash_key="mine")
        share_key(str(tmp_path / "calls.jsonl"))
        pseudonymise("u-17")

        assert list(tmp_path.iterdir()) == []

    def test_it_is_used_again(self, tmp_path: Path) -> None:
        """The next start of the application gives the same pseudonyms."""
        journal = str(tmp_path / "calls.jsonl")
        share_key(journal)
        first = pseudonymise("u-17")
        share_key(journal)

        assert pseudonymise("u-17") == first

    def test_another_journal_has_another_key(self, tmp_path: Path) -> None:
        """Two applications do not share pseudonyms by accident."""
        share_key(str(tmp_path / "a.jsonl"))
        first = pseudonymise("u-17")
        share_key(str(tmp_path / "b.jsonl"))

        assert pseudonymise("u-17") != first

    def test_the_folder_is_made(self, tmp_path: Path) -> None:
        """The first call may come before the journal's first line."""
        share_key(str(tmp_path / "logs" / "calls.jsonl"))
        pseudonymise("u-17")

        assert (tmp_path / "logs" / "calls.jsonl.key").exists()

    @pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
    def test_a_damaged_one_is_not_touched(self, tmp_path: Path, content: bytes) -> None:
        """A file that is no key of ours stays; the process has a key of its own."""
        key = tmp_path / "calls.jsonl.key"
        key.write_bytes(content)
        share_key(str(tmp_path / "calls.jsonl"))

        assert pseudonymise("u-17") == pseudonymise("u-17")
        assert key.read_bytes() == content

    def test_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        """The process has a key of its own, and goes on."""
        (tmp_path / "file").write_text("no folder")
        share_key(str(tmp_path / "file" / "calls.jsonl"))

        assert pseudonymise("u-17") == pseudonymise("u-17")

    def test_what_a_crash_left_behind_is_no_obstacle(self, tmp_path: Path) -> None:
        """A half-made key of a process that had our number does not keep us from making one."""
        (tmp_path / f"calls.jsonl.key.{os.getpid()}").write_bytes(b"")
        share_key(str(tmp_path / "calls.jsonl"))
        pseudonymise("u-17")

        assert (tmp_path / "calls.jsonl.key").exists()


class TestRace:
    def test_processes_agree(self, tmp_path: Path) -> None:
        """Workers that start together write one journal with one key."""
        program = f"""
import os
from cert_otel.capture._fingerprint import pseudonymise, share_key
share_key({str(tmp_path / "logs" / "calls.jsonl")!r})
print(flush=True)
while not os.path.exists({str(tmp_path / "go")!r}):
    pass
print(pseudonymise("u-17"))
"""
        workers = [
            subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        (tmp_path / "go").touch()
        answers = {worker.communicate()[0] for worker in workers}

        assert len(answers) == 1
        assert [path.name for path in (tmp_path / "logs").iterdir()] == ["calls.jsonl.key"]

    def test_threads_agree(self, tmp_path: Path) -> None:
        """The first calls of a process may come from several threads at once."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            rounds = [self._race(tmp_path / f"{number}.jsonl") for number in range(30)]
        finally:
            sys.setswitchinterval(before)

        assert [len(hashes) for hashes in rounds] == [1] * 30

    @staticmethod
    def _race(journal: Path) -> set[str]:
        share_key(str(journal))
        barrier = threading.Barrier(4)
        hashes = set()

        def work() -> None:
            barrier.wait()
            hashes.add(pseudonymise("u-17"))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        share_key(str(journal))  # as the next process would read it
        hashes.add(pseudonymise("u-17"))
        return hashes
