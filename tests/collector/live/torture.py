"""The scenes of `test_service.py` at length: whatever happens to the chain, every span ends once.

Run by `make torture`; it needs what `make collector` builds:

    python tests/collector/live/torture.py KILLS SPANS [SEED]

Collector, service, judge and backend are those of the tests. Each scene has a chain of its own and
prints how everything ended that was acknowledged in it. A small disk is mounted for the scenes
with a full one where this user may; elsewhere the files of a process may not grow.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc

ROOT: Final = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "collector" / "harness")]

import scenes  # noqa: E402 - after the path is set
from full_disk import LimitedProcess, mount_disk  # noqa: E402 - likewise
from service_harness import System  # noqa: E402 - likewise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from full_disk import Disk

BACKLOG_SPANS_PER_S: Final = 50
BACKLOG_S: Final = 600
"""An outage of ten minutes at this rate; the spans of it are sent as fast as they are taken."""
QUEUE_BYTES: Final = 4_000_000
"""Of the collector's queue in the scene that fills it."""
POISONED: Final = 3
_PATIENCE_S: Final = 180.0
_MOUNTED_MIB: Final = 96
"""The trail's reserve is 64."""
_LIMITED: Final = "a limit of the process"


class Campaign:
    """Plays scenes, prints how they ended, and remembers whether all was as it must be."""

    def __init__(self, directory: Path) -> None:
        self.is_whole = True
        self.directory = directory

    @contextmanager
    def play(
        self,
        name: str,
        *,
        may_copy: bool = False,
        environment: Mapping[str, str] | None = None,
        sections: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Iterator[System]:
        """Give a chain that is started, and account for it afterwards.

        Args:
            name: Of the scene.
            may_copy: Whether somebody is killed who may then send again.
            environment: Of the collector.
            sections: Of cert.yaml.
        """
        folder = self.directory / name.replace(" ", "-")
        started_s = time.monotonic()
        with System(folder, environment=environment, **(sections or {})) as system:
            yield system
            with suppress(AssertionError):  # the account says what is missing
                system.take_account(patience_s=_PATIENCE_S)
            time.sleep(1)  # for what comes twice
            account = system.count()
        copies = account.backend_copies + account.event_copies
        self.note(name, is_whole=not account.faults and (may_copy or not copies))
        figures = "  ".join(f"{key} {value:,}" for key, value in account._asdict().items())
        say(f"  {figures}  seconds {time.monotonic() - started_s:.0f}")

    def note(self, name: str, *, is_whole: bool) -> None:
        """Note how a scene, or a part of it, ended."""
        self.is_whole &= is_whole
        say(f"{name}: {'as it must be' if is_whole else 'WRONG'}")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def flow(campaign: Campaign, *, spans: int) -> None:
    """Mixed dialects, and one span in eleven that tells of no model."""
    with campaign.play("flow") as system:
        scenes.flow(system, spans=spans, plain=spans // 10)


def kill(campaign: Campaign, *, kills: int, seed: int) -> None:
    """Scorer, receiver, collector and all of them at random."""
    with campaign.play("kills", may_copy=True) as system:
        found = scenes.kill_at_random(system, kills=kills, seed=seed, senders=4, pause_s=0)
        say(f"  seed {seed}  " + "  ".join(f"{name} {count:,}" for name, count in found.items()))


def outlast(campaign: Campaign) -> None:
    """Ten minutes without the service, without the time."""
    spans = BACKLOG_SPANS_PER_S * BACKLOG_S
    with campaign.play("backlog", may_copy=True) as system:
        scenes.stop_in_an_outage(system, spans=100)
        held_bytes = scenes.outlast(system, spans=spans)
        say(f"  {spans:,} spans in the queue, {held_bytes:,} bytes by the collector's metric")


def fill_queue(campaign: Campaign) -> None:
    """The queue to the service full: the application is refused, what was accepted arrives."""
    full = {"CERT_QUEUE_BYTES": str(QUEUE_BYTES)}
    with campaign.play("full queue", may_copy=True, environment=full) as system:
        code = scenes.fill_queue(system)
        refused = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
        campaign.note(f"full queue refuses with {code}", is_whole=code in refused)


def send_large(campaign: Campaign) -> None:
    """One span of 5 MB, and twenty batches of as much."""
    with campaign.play("large") as system:
        scenes.send_large(system, first=0, batches=20)


def fill_inbox_disk(campaign: Campaign) -> None:
    """No room for the inbox, and for what the scorer notes beside it."""
    with (
        _get_disk(campaign, "inbox") as (path, find_disk),
        campaign.play("inbox disk full", sections={"inbox": {"path": str(path / "inbox")}}) as it,
    ):
        code = scenes.fill_inbox_disk(it, find_disk(it, "receiver"), spans=2_000)
        is_whole = code is grpc.StatusCode.UNAVAILABLE
        campaign.note(f"inbox disk full refuses with {code}", is_whole=is_whole)


def fill_trail_disk(campaign: Campaign) -> None:
    """No room for the trail but its reserve."""
    with (
        _get_disk(campaign, "trail") as (path, find_disk),
        campaign.play("trail disk full", sections={"trail": {"path": str(path / "trail")}}) as it,
    ):
        waiting = scenes.fill_trail_disk(it, find_disk(it, "scorer-0"), spans=500)
        used = it.service.read_log().count("its reserve is used")
        say(f"  {waiting:,} spans waited for room; the reserve was used {used} times")
        campaign.note("scoring waits for room", is_whole=waiting > 0)


@contextmanager
def _get_disk(
    campaign: Campaign, name: str
) -> Iterator[tuple[Path, Callable[[System, Any], Disk]]]:
    """Give a folder on a disk that can be full, and how to make it so."""
    path = campaign.directory / f"disk-{name}"
    with mount_disk(path, size_mib=_MOUNTED_MIB) as mounted:
        say(f"full disk of the {name}: {_LIMITED if mounted is None else 'a file system'}")
        yield (
            path,
            lambda system, child: (
                mounted or LimitedProcess(lambda: system.service.find_child(child))
            ),
        )


def fall_behind(campaign: Campaign) -> None:
    """A scorer that is too slow: refusal with RetryInfo, which the collector obeys, and shedding."""
    with campaign.play("slow scorer", sections=scenes.SMALL) as system:
        refusal = scenes.fall_behind(system, first=0, spans=2_000)
        outcomes = scenes.wait_for_outcome(system, "shed")
        say(
            f"  {refusal.acknowledged} requests taken without a score, the slowest in"
            f" {refusal.slowest_ack_s * 1000:.0f} ms; then {refusal.code}; {outcomes:,} shed"
        )
        campaign.note(
            "refusal says when to come again",
            is_whole=refusal.has_retry_info and not refusal.scored,
        )


def poison(campaign: Campaign) -> None:
    """Three records that kill, among others: nine deaths, and the pauses between them."""
    with campaign.play("poison", may_copy=True) as system:
        for number in range(POISONED):
            system.send(system.make(200))
            scenes.poison(system, first=10 * number)
        dead = scenes.wait_for_outcome(system, "killed_the_scorer", count=POISONED)
        campaign.note("each poison is an error record", is_whole=dead == POISONED)


def main() -> int:
    """Play all; 0 when every span ended once."""
    kills, spans, *rest = map(int, sys.argv[1:])
    seed = rest[0] if rest else 0
    with tempfile.TemporaryDirectory(prefix="cert-") as directory:
        campaign = Campaign(Path(directory))
        flow(campaign, spans=spans)
        kill(campaign, kills=kills, seed=seed)
        outlast(campaign)
        fill_queue(campaign)
        send_large(campaign)
        fill_inbox_disk(campaign)
        fill_trail_disk(campaign)
        fall_behind(campaign)
        poison(campaign)
    return int(not campaign.is_whole)


if __name__ == "__main__":
    sys.exit(main())
