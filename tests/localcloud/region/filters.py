"""Filters and pages of EC2's Describe actions."""

import base64
import fnmatch
import re
from collections.abc import Callable, Iterable
from typing import Any

from .errors import AwsError, Unimplemented

Values = Callable[[Any], Any]
DEFAULT_PAGE = 1000


def matches(
    item: Any, filters: list[dict[str, Any]] | None, values: dict[str, Values], tags: dict[str, str], action: str
) -> bool:
    """Whether an item passes all filters; a filter passes when one of its values matches.

    `*` stands for any characters and `?` for one (EC2 User Guide, "Filter your resources").
    Fails with Unimplemented on a filter that isn't in `values`.
    """
    return all(_passes(item, one, values, tags, action) for one in filters or [])


def _passes(item: Any, one: dict[str, Any], values: dict[str, Values], tags: dict[str, str], action: str) -> bool:
    name, wanted = one["Name"], one.get("Values") or []
    if name.startswith("tag:"):
        actual: Any = tags.get(name[4:])
    elif name == "tag-key":
        actual = list(tags)
    elif name in values:
        actual = values[name](item)
    else:
        raise Unimplemented(f"the filter {name} of {action}")
    present = [_text(value) for value in (actual if _is_many(actual) else [actual]) if value is not None]
    return any(_pattern(value).match(text) for value in wanted for text in present)


def _is_many(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pattern(value: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(re.sub(r"\[", "[[]", value)))


def paginate(name: str, items: list[Any], params: dict[str, Any]) -> dict[str, Any]:
    """One page of `items`, under `name`, with the token that leads to the next."""
    start = _position(params.get("NextToken"))
    size = params.get("MaxResults") or DEFAULT_PAGE
    if size < 1:
        raise AwsError("InvalidParameterValue", f"Value ( {size} ) for parameter maxResults is invalid.")
    page: dict[str, Any] = {name: items[start : start + size]}
    if start + size < len(items):
        page["NextToken"] = base64.urlsafe_b64encode(f"from:{start + size}".encode()).decode()
    return page


def _position(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token).decode().removeprefix("from:"))
    except ValueError:
        raise AwsError("InvalidNextToken", f"The token '{token}' is invalid") from None


def require_known(ids: list[str] | None, known: Iterable[str], code: str, kind: str) -> None:
    """Fails with `code` when an id that the request names doesn't exist."""
    missing = [identifier for identifier in ids or [] if identifier not in set(known)]
    if missing:
        word = "ID" if len(missing) == 1 else "IDs"
        raise AwsError(code, f"The {kind} {word} '{', '.join(missing)}' does not exist")
