"""`mlapi` with a fake engine that takes a known time per token, whatever else the machine does."""

import threading
from typing import Final

from mlapi.cli.group import main
from mlapi.engines import registry
from mlapi.engines.base import Logits, TokenIds
from mlapi.engines.fake import FakeEngine

TOKENS_PER_S: Final = 4_000


class PacedEngine(FakeEngine):
    """Computes `TOKENS_PER_S` padded tokens a second on all streams together."""

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        """Score rows, and take as long as they take."""
        threading.Event().wait(ids.size * self.streams / TOKENS_PER_S)
        return super().infer(ids, mask)


if __name__ == "__main__":
    registry.ENGINES["fake"] = "tests.e2e.paced_service:PacedEngine"
    main()
