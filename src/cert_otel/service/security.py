"""Who may send: bearer tokens and certificates, each read again when its file changes."""

from __future__ import annotations

import hashlib
import hmac
import logging
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from cert_otel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cert_otel.service.settings import Security, Tls

_logger = logging.getLogger("cert_otel.service")

_BEARER: Final = "bearer "


class Watched:
    """A few files, and whether they changed since they were last asked about."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = [Path(path) for path in paths]
        self._seen = self._look()
        self._lock = threading.Lock()

    def has_changed(self) -> bool:
        """Return whether any of them did; once for each change."""
        now = self._look()
        with self._lock:
            changed, self._seen = now != self._seen, now
        return changed

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_identify(path) for path in self._paths]


def _identify(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


class Tokens:
    """The bearer tokens that are accepted; without any, everybody is."""

    def __init__(self, security: Security) -> None:
        """Read them.

        Raises:
            ConfigError: When the file of tokens cannot be read or holds none.
        """
        self._fixed = [_digest(token) for token in security.tokens]
        self._path = security.tokens_file
        self._watched = Watched([self._path] if self._path else [])
        self._digests = self._read()

    @property
    def are_needed(self) -> bool:
        """Whether a sender needs one."""
        return bool(self._fixed or self._path)

    def accept(self, authorization: str | None) -> bool:
        """Tell whether the value of an `authorization` header holds one of them.

        It takes as long for a wrong token as for a right one.
        """
        if not self.are_needed:
            return True
        if self._watched.has_changed():
            self._reload()
        text = authorization or ""
        scheme, token = text[: len(_BEARER)], text[len(_BEARER) :]
        offered = _digest(token.strip())
        matches = [hmac.compare_digest(offered, digest) for digest in self._digests]
        return any(matches) and scheme.lower() == _BEARER

    def _reload(self) -> None:
        try:
            self._digests = self._read()
        except ConfigError as error:
            _logger.warning("the former tokens stay in force: %s", error)
        else:
            _logger.info("tokens were read again: %d are accepted", len(self._digests))

    def _read(self) -> list[bytes]:
        if self._path is None:
            return self._fixed
        try:
            lines = Path(self._path).read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError("security.tokens_file", f"cannot be read: {error}") from None
        if not lines:
            raise ConfigError("security.tokens_file", f"{self._path} holds no token")
        return [*self._fixed, *map(_digest, lines)]


def _digest(token: str) -> bytes:
    # Of one length, whatever the token's: the comparison tells nothing about it.
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def make_grpc_credentials(tls: Tls) -> grpc.ServerCredentials:
    """Return credentials for the gRPC port; new connections see changed files.

    Raises:
        ConfigError: When a file cannot be read or used.
    """
    make_ssl_context(tls)  # says what is wrong with the files; gRPC would say nothing
    watched = Watched(_list_files(tls))

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        if not watched.has_changed():
            return None
        try:
            make_ssl_context(tls)
            return _configure(tls)
        except (ConfigError, OSError) as error:
            _logger.warning("the former certificate stays in force: %s", error)
            return None

    return grpc.dynamic_ssl_server_credentials(
        _configure(tls),
        fetch,  # type: ignore[arg-type]  # None is allowed: nothing changed
        require_client_authentication=tls.client_ca_file is not None,
    )


def make_ssl_context(tls: Tls) -> ssl.SSLContext:
    """Return a context for the HTTP ports.

    Raises:
        ConfigError: When a file cannot be read or used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file)
        if tls.client_ca_file is not None:
            context.load_verify_locations(tls.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        names = ", ".join(_list_files(tls))
        raise ConfigError("security.tls", f"{names}: cannot be used: {error}") from None
    return context


class ContextReloader:
    """Puts changed files into a context that is in use, when asked to look."""

    def __init__(self, tls: Tls, context: ssl.SSLContext) -> None:
        self._tls = tls
        self._context = context
        self._watched = Watched(_list_files(tls))

    def look(self) -> None:
        """Read the files again if they changed; the former stay if they cannot be used."""
        if not self._watched.has_changed():
            return
        try:
            make_ssl_context(self._tls)
            self._context.load_cert_chain(self._tls.cert_file, self._tls.key_file)
            if self._tls.client_ca_file is not None:
                self._context.load_verify_locations(self._tls.client_ca_file)
        except (ConfigError, OSError) as error:
            _logger.warning("the former certificate stays in force: %s", error)
        else:
            _logger.info("the certificate was read again: %s", self._tls.cert_file)


def _list_files(tls: Tls) -> list[str]:
    return [path for path in (tls.cert_file, tls.key_file, tls.client_ca_file) if path]


def _configure(tls: Tls) -> grpc.ServerCertificateConfiguration:
    pair = (Path(tls.key_file).read_bytes(), Path(tls.cert_file).read_bytes())
    authorities = Path(tls.client_ca_file).read_bytes() if tls.client_ca_file else None
    return grpc.ssl_server_certificate_configuration([pair], authorities)
