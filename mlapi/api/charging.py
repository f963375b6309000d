"""Has an API key pay for the texts that it asks for."""

from collections.abc import Coroutine
from typing import Protocol, TypeVar

from mlapi.access.accounts import Accounts
from mlapi.access.keyring import Grant
from mlapi.predictions import Answer


class Answering(Protocol):
    """Whatever came of a request; `answer` says what the cache knew of its texts."""

    @property
    def answer(self) -> Answer:
        """The answer to its texts."""


T = TypeVar("T", bound=Answering)


async def charged(accounts: Accounts, grant: Grant, texts: int, answering: Coroutine[None, None, T]) -> T:
    """Have a key pay for an answer; what is not answered costs nothing.

    Raises:
        QuotaExceededError: the key has spent too much.
        MlapiError: what the answer failed with.
    """
    account = accounts.of(grant)
    try:
        await accounts.charge(account, texts)
    except BaseException:
        answering.close()
        raise
    try:
        result = await answering
    except BaseException:
        accounts.give_back(account, texts)
        raise
    counts = result.answer.counts
    accounts.settle(account, texts, counts.l1 + counts.l2)
    return result
