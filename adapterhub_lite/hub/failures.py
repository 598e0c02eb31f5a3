"""What goes wrong with a Hub, in our words: what was sought, what came, what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub import errors
from huggingface_hub.utils import httpx

from adapterhub_lite.errors import HubError

RETRY = frozenset({408, 429, 500, 502, 503, 504})
BROKEN = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)
"""A connection that was refused, cut or too slow."""


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status behind an error of the client."""
    response: Any = getattr(error, "response", None)
    return None if response is None else int(response.status_code)


def passes(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    return isinstance(error, BROKEN) or status_of(error) in RETRY


@contextmanager
def translated(what: str, endpoint: str) -> Iterator[None]:
    """Turn the client's errors into `HubError`s; `what` is the repository, with its revision."""
    try:
        yield
    except RuntimeError as error:  # the client wraps failed uploads
        if error.__cause__ is None:
            raise
        raise _error(error.__cause__, what, endpoint) from error
    except errors.OfflineModeIsEnabled as error:
        raise offline(what) from error
    except (errors.HfHubHTTPError, httpx.HTTPError, ValueError, ConnectionError) as error:
        raise _error(error, what, endpoint) from error
    except (KeyError, TypeError, AttributeError) as error:  # the client trusts the answers' shape
        raise HubError(
            f"{endpoint} answered something for `{what}` that is no answer of a Hub",
            hint="look at HF_ENDPOINT",
            endpoint=endpoint,
        ) from error


def offline(what: str) -> HubError:
    """Return the error for work that needs the network while it is switched off."""
    return HubError(
        f"`{what}` needs the Hub, and this run is offline",
        hint="unset HF_HUB_OFFLINE, and leave out `--offline`",
    )


def _error(error: BaseException, what: str, endpoint: str) -> HubError:
    if isinstance(error, HubError):
        return error
    known = _known(error, what, endpoint)
    if known is not None:
        return HubError(known[0], hint=known[1], status=status_of(error), endpoint=endpoint)
    status = status_of(error)
    if status is not None:
        return HubError(
            f"{endpoint} answered {status} for `{what}`{_message(error)}",
            hint=_HINTS.get(status, "try again later"),
            status=status,
            endpoint=endpoint,
        )
    first = plain(str(error).strip().split("\n")[0]) or type(error).__name__
    if isinstance(error, httpx.HTTPError):
        return HubError(
            f"cannot reach {endpoint} for `{what}`: {first}",
            hint="look at the connection; `--offline` answers from what was pulled before",
            endpoint=endpoint,
        )
    return HubError(f"the client refused `{what}`: {first}", endpoint=endpoint)


def _known(error: BaseException, what: str, endpoint: str) -> tuple[str, str] | None:
    if isinstance(error, errors.GatedRepoError):  # before its base class
        repo = what.partition("@")[0]
        return (
            f"`{repo}` is gated: its owner lets in whom they choose",
            f"ask for access at {endpoint}/{repo}, then set HF_TOKEN or `hf auth login`",
        )
    if isinstance(error, errors.DisabledRepoError):
        return f"`{what}` was disabled by the Hub", "choose another repository"
    if isinstance(error, errors.RevisionNotFoundError):
        repo, _, revision = what.partition("@")
        return f"`{repo}` has no revision `{revision}`", f"`ahl pull {repo}` takes the newest"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"no repository `{what.partition('@')[0]}` at {endpoint} that you may see",
            "look at the spelling; a private one needs a token: HF_TOKEN, or `hf auth login`",
        )
    return None


_HINTS = {
    401: "set HF_TOKEN, or `hf auth login`",
    403: "the token must have write rights, and you rights on the repository; `--pr` proposes",
    409: "look at what is there already",
    412: "somebody changed it meanwhile: `ahl pull` it, look, and push again; or `--pr`",
    429: "the Hub limits how often you may ask: wait some minutes",
}


def _message(error: BaseException) -> str:
    said = getattr(error, "server_message", None)
    return f": {plain(str(said))}" if said else ""


def plain(text: str) -> str:
    """Return a stranger's words without what a terminal would obey, in one line, shortened."""
    words = " ".join(text.split())[:200]
    return "".join(letter if letter.isprintable() else "?" for letter in words)
