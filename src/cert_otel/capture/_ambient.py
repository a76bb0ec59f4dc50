"""What the application says about the calls inside: ground truth, who asked, for what task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import msgspec

from cert_otel import semconv
from cert_otel.capture._activation import release
from cert_otel.capture._content import get_cleaner, to_json
from cert_otel.capture._fingerprint import pseudonymise
from cert_otel.capture._guard import attempt
from cert_otel.records import ContextItem

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType

ContextLike = (
    str | Mapping[str, Any] | ContextItem | Sequence[str | Mapping[str, Any] | ContextItem]
)
"""A text, a passage (`text`, `id`, `source`) or several of either."""

EXPLICIT: Final = "explicit"


class Ambient(NamedTuple):
    """What holds for every call inside."""

    context: tuple[ContextItem, ...] = ()
    user: str | None = None
    conversation: str | None = None
    tenant: str | None = None
    task_type: str | None = None
    metadata: Mapping[str, Any] | None = None
    cost_tracking: bool = True


NOTHING: Final = Ambient()
_ambient: Final[ContextVar[Ambient]] = ContextVar("cert_otel_ambient", default=NOTHING)
get_ambient: Final = _ambient.get


class set_context:  # noqa: N801 - read as a verb: `with set_context(...)` or a plain call
    """Name the ground truth, and who asks, for the model calls that follow.

    As a statement it holds until the next one, or the end of the thread or task; as a context
    manager it ends with the block. What is not given is kept from outside.

    Args:
        context: The passages that an answer may rest on. Attached only where content is
            captured, redacted and capped like any.
        user: Recorded as a keyed pseudonym only.
        conversation: Id of the conversation.
        tenant: On whose behalf.
        task_type: What kind of task this is.
        metadata: JSON-like; recorded as it is, so nothing secret belongs here.

    Example:
        ```python
        with cert_otel.set_context("Returns are free for 30 days.", tenant="acme"):
            client.chat.completions.create(...)
        ```
    """

    def __init__(
        self,
        context: ContextLike | None = None,
        *,
        user: str | None = None,
        conversation: str | None = None,
        tenant: str | None = None,
        task_type: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._token = attempt(
            "set_context",
            _set_ambient,
            context,
            user=user,
            conversation=conversation,
            tenant=tenant,
            task_type=task_type,
            metadata=metadata,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is not None:
            release(self._token)
            self._token = None


def _set_ambient(
    context: ContextLike | None,
    *,
    user: str | None,
    conversation: str | None,
    tenant: str | None,
    task_type: str | None,
    metadata: Mapping[str, Any] | None,
) -> Token[Ambient]:
    outer = _ambient.get()
    return _ambient.set(
        Ambient(
            outer.context if context is None else to_items(context),
            user or outer.user,
            conversation or outer.conversation,
            tenant or outer.tenant,
            task_type or outer.task_type,
            outer.metadata if metadata is None else {**(outer.metadata or {}), **metadata},
            outer.cost_tracking,
        )
    )


def without_cost() -> Token[Ambient]:
    """Leave costs out of the calls that follow, until the token is released."""
    return _ambient.set(_ambient.get()._replace(cost_tracking=False))


def to_items(context: ContextLike, *, source: str = EXPLICIT) -> tuple[ContextItem, ...]:
    """Bring what an application calls context into one form; what has no text is left out."""
    if isinstance(context, (str, Mapping, ContextItem)):
        context = (context,)
    items = (_to_item(item, source) for item in context)
    return tuple(item for item in items if item.text)


def _to_item(item: str | Mapping[str, Any] | ContextItem, source: str) -> ContextItem:
    if isinstance(item, ContextItem):
        return item
    if isinstance(item, Mapping):
        text = item.get("text") or item.get("content") or item.get("page_content") or ""
        item_id = item.get("id")
        return ContextItem(
            text=_to_text(text),
            id=None if item_id is None else str(item_id),
            source=str(item.get("source") or source),
        )
    return ContextItem(text=_to_text(item), source=source)


def _to_text(value: Any) -> str:
    """Return a passage as text; what is none is cleaned before it becomes one, as escapes hide."""
    if value is None or isinstance(value, str):
        return value or ""
    shown = get_cleaner().clean_tree(value)
    return shown if isinstance(shown, str) else to_json(shown)


def context_attribute(items: Sequence[ContextItem]) -> str:
    """Return passages, cleaned, as the JSON of `cert.context`."""
    clean = get_cleaner().clean
    return to_json([msgspec.structs.replace(item, text=clean(item.text)) for item in items])


def ambient_attributes(ambient: Ambient, *, with_content: bool) -> dict[str, str]:
    """Return what the application said, as attributes of a call."""
    attributes: dict[str, str] = {}
    if ambient.user is not None:
        attributes[semconv.ENDUSER_PSEUDO_ID] = pseudonymise(str(ambient.user))
    if ambient.conversation is not None:
        attributes[semconv.CONVERSATION_ID] = str(ambient.conversation)
    if ambient.tenant is not None:
        attributes[semconv.TENANT] = str(ambient.tenant)
    if ambient.task_type is not None:
        attributes[semconv.TASK_TYPE] = str(ambient.task_type)
    if ambient.metadata:
        attributes[semconv.METADATA] = to_json(ambient.metadata)
    if with_content and ambient.context:
        attributes[semconv.CONTEXT] = context_attribute(ambient.context)
    return attributes
