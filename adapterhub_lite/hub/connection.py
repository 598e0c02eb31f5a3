"""A connection to one Hub: its client, its token, and patience where the client has none.

The client retries uploads and later pages, but not the first question about a repository, not its
creation and not a commit, and downloads only in part; `patiently` does.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from huggingface_hub import HfApi, constants, is_offline_mode
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    build_hf_headers,
    disable_progress_bars,
    enable_progress_bars,
    httpx,
)

from adapterhub_lite.hub import budget, tokens
from adapterhub_lite.hub.failures import offline, passes, translated
from adapterhub_lite.version import VERSION

T = TypeVar("T")

WAITS = (1.0, 2.0, 4.0, 8.0, 8.0)
"""Seconds before each further try, as the client itself waits."""

LONGEST_WAIT = 120.0
"""A Hub that asks for more than this many seconds is not waited for."""

_log = logging.getLogger(__name__)
_RATE = re.compile(r"r\s*=\s*0\s*;\s*t\s*=\s*(\d+)")


@dataclass(frozen=True)
class Connection:
    """One Hub, as one user.  `token` is `None` for nobody."""

    endpoint: str
    token: str | None
    api: HfApi

    @property
    def headers(self) -> dict[str, str]:
        """Headers for a request that the client does not make itself."""
        headers: dict[str, str] = build_hf_headers(
            token=self.token or False,
            library_name="adapterhub_lite",
            library_version=VERSION,
        )
        return headers

    @contextmanager
    def about(self, what: object) -> Iterator[None]:
        """Confine the token, bound the answers, and say failures in our words.

        `what` is the repository.
        """
        confined = tokens.confined(self.token, self.endpoint)
        counted = budget.within(self.endpoint)
        with confined, translated(str(what), self.endpoint), counted, _quiet():
            yield


def connect(what: object, *, endpoint: str | None = None, token: str | None = None) -> Connection:
    """Return a connection.

    Args:
        what: repository that this is about, for messages.
        endpoint: address of the Hub [default: HF_ENDPOINT, else huggingface.co].
        token: token for this endpoint [default: see `tokens.choose`].

    Raises:
        HubError: this process is offline.
    """
    if is_offline_mode():
        raise offline(str(what))
    address = address_of(endpoint)
    chosen = tokens.choose(address, token)
    api = HfApi(
        endpoint=address,
        token=chosen or False,
        library_name="adapterhub_lite",
        library_version=VERSION,
    )
    return Connection(address, chosen, api)


def address_of(endpoint: str | None) -> str:
    """Return the address of the Hub that is meant."""
    return (endpoint or constants.ENDPOINT).rstrip("/")


def patiently(call: Callable[[], T], *, again: Callable[[BaseException], bool] = passes) -> T:
    """Return what `call` returns, trying again after failures that pass by themselves.

    Args:
        again: whether a failure passes; commits that may have been carried out are asked twice.
    """
    for wait in WAITS:
        try:
            return call()
        except (HfHubHTTPError, httpx.HTTPError) as error:
            pause = max(wait, asked_to_wait(error))
            if not again(error) or pause > LONGEST_WAIT:
                raise
            _log.info(
                "the Hub is busy or out of reach (%s); trying again in %g s", _short(error), pause
            )
        time.sleep(pause)
    return call()


def asked_to_wait(error: BaseException) -> float:
    """Return the seconds that a Hub asks to wait (`RateLimit`, `Retry-After`), else 0."""
    response = getattr(error, "response", None)
    if response is None:
        return 0.0
    limited = _RATE.search(response.headers.get("ratelimit", ""))
    if limited and response.status_code == 429:
        return float(limited[1]) + 1
    after = response.headers.get("retry-after", "").strip()
    return float(after) + 1 if after.isdigit() else 0.0


def _short(error: BaseException) -> str:
    response = getattr(error, "response", None)
    return type(error).__name__ if response is None else str(response.status_code)


def _no_advice_on_xet(record: logging.LogRecord) -> bool:
    return "binary IO buffer" not in record.getMessage()


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch the client's own bars off (there are ours), and its advice on what we chose."""
    log = logging.getLogger("huggingface_hub._commit_api")
    shown = not are_progress_bars_disabled()
    if shown:
        disable_progress_bars()
    log.addFilter(_no_advice_on_xet)
    try:
        yield
    finally:
        log.removeFilter(_no_advice_on_xet)
        if shown:
            enable_progress_bars()
