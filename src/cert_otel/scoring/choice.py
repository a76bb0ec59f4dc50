"""Which model scores and how, in the words of options and settings: `Choice`, and what opens it.

`cert score` and the service have the same choice, so that the same words give the same figures,
under the same name and revision. Nothing here imports torch before a model is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from cert_otel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cert_otel.config import QuantizationName
    from cert_otel.scoring.answers import AnswerScorer
    from cert_otel.scoring.embedding import Embedder
    from cert_otel.scoring.models import Dtype
    from cert_otel.scoring.networks import LoadedModel
    from cert_otel.scoring.quantization import Quantization

MINILM: Final = "minilm"
HIDDEN: Final = "hidden"


class Choice(NamedTuple):
    """What scores, and on what."""

    model: str | None = None
    """Name on the hub, folder, or the packaged one's name; `None` is the best that is here."""
    device: str = "auto"
    dtype: Dtype = "auto"
    quantization: Quantization | None = None
    embedder: str = MINILM
    """`minilm`, `hidden` or a model of sentence-transformers."""
    window_tokens: int | None = None
    """Longest text that is read at once; `None` is the model's window."""
    revision: str | None = None
    """Of the hub, of a model that is named."""
    offline: bool = False
    allow_remote_code: tuple[str, ...] = ()
    """Names of models whose own code may run."""

    @property
    def mark(self) -> str:
        """What the revision of results ends in: what changes figures beside model and weights."""
        embedder = "" if self.embedder == MINILM else f"+{self.embedder}"
        window = "" if self.window_tokens is None else f"+window={self.window_tokens}"
        return embedder + window


def get_quantization(name: QuantizationName) -> Quantization | None:
    """Return what the library takes for the name of an option or setting."""
    return None if name == "none" else name


def open_model(choice: Choice) -> LoadedModel:
    """Load the model that is named; without a name, the best that is here and fits.

    Raises:
        CertOtelError: It cannot be had or used; the message says what to do.
    """
    from cert_otel.scoring import defaults  # noqa: PLC0415 - torch takes seconds

    return defaults.load(
        choice.model,
        device=choice.device,
        dtype=choice.dtype,
        quantization=choice.quantization,
        revision=choice.revision,
        offline=choice.offline,
        allow_remote_code=choice.allow_remote_code,
    )


def open_scorer(model: LoadedModel, choice: Choice, *, warn: Callable[[str], None]) -> AnswerScorer:
    """Return what measures answers.

    Args:
        model: The one that was chosen.
        choice: What else was.
        warn: Told, once, where the packaged embedder is not there: there are no energies then.

    Raises:
        ConfigError: An embedder that was named cannot be used.
    """
    from cert_otel.scoring.answers import AnswerScorer  # noqa: PLC0415 - torch takes seconds
    from cert_otel.scoring.scorer import TokenScorer  # noqa: PLC0415 - likewise

    is_hidden = choice.embedder == HIDDEN
    scorer = TokenScorer(model, max_tokens=choice.window_tokens, embed_steps=is_hidden)
    return AnswerScorer(scorer, None if is_hidden else _open_embedder(choice.embedder, warn))


def _open_embedder(name: str, warn: Callable[[str], None]) -> Embedder | None:
    from cert_otel.scoring.embedding import SentenceEmbedder  # noqa: PLC0415 - likewise

    if name != MINILM:
        return SentenceEmbedder(name)
    try:
        return SentenceEmbedder()
    except ConfigError as problem:
        warn(f"no energies: {problem}")
        return None
