"""A process that appends as fast as it can and says what is on disk, until it is killed."""

from __future__ import annotations

import sys
import time

from cert_otel.service.inbox import Inbox, Payload


def main() -> None:
    """Append numbered payloads; print the number of each that was acknowledged."""
    first = int(sys.argv[2])
    with Inbox.open(sys.argv[1], cap_bytes=10**10) as inbox:
        for start in range(first, first + 10**9, 8):
            futures = [inbox.append(make_payload(number)) for number in range(start, start + 8)]
            for number, future in enumerate(futures, start):
                future.result()
                sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


def make_payload(number: int) -> Payload:
    """Return a payload that knows its number."""
    body = b"%d:" % number + b"x" * (number * 7919 % 60_000)
    return Payload(kind="traces", encoding="protobuf", body=body, received_ns=time.time_ns())


if __name__ == "__main__":
    main()
