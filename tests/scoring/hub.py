"""A model hub on loopback that has nothing, and a cache of the test's own."""

from __future__ import annotations

import shutil
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Answers that there is no such model, and remembers what it was asked."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the hub's client ask here, and look into the cache of the test."""
        endpoint = f"http://127.0.0.1:{self._server.server_port}"
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        for module in ("huggingface_hub.constants", "huggingface_hub.utils._cache_manager"):
            monkeypatch.setattr(f"{module}.HF_HUB_CACHE", str(self.cache))

    def put_into_cache(self, name: str, folder: Path) -> None:
        """Store a model as the hub's client does."""
        repository = self.cache / f"models--{name.replace('/', '--')}"
        shutil.copytree(folder, repository / "snapshots" / COMMIT)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(COMMIT)
        (repository / "blobs").mkdir()

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        asked = self.asked

        class Absent(BaseHTTPRequestHandler):
            """Has no model."""

            def do_HEAD(self) -> None:
                """Answer as the hub does."""
                asked.append(self.path)
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                """Answer alike."""
                self.do_HEAD()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Absent
