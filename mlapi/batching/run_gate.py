"""Shares the processors among the batchers of several models: each gets the same time, as long as it has work."""

import asyncio
from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Lane:
    """One batcher's place at the gate.

    Attributes:
        used_s: seconds of runs that it had, by the gate's account.
        last_s: seconds that its last run took.
        running: how many of its runs are under way.
        waiting: its streams that wait for their turn.
    """

    used_s: float = 0.0
    last_s: float = 0.0
    running: int = 0
    waiting: "deque[asyncio.Future[None]]" = field(default_factory=deque)

    @property
    def busy(self) -> bool:
        """Whether it has or wants a turn."""
        return bool(self.running or self.waiting)


class RunGate:
    """Lets so many runs be under way at a time, over all lanes; for one event loop.

    A run that ends gives its turn to the lane that had the least time so far, which may be its own (fair queueing by
    the time used: Nagle, RFC 970; start-time fair queueing: Goyal, Vin, Cheng 1996). A lane that was idle begins level
    with the one that had the least of those that are busy, or with the one that had the most if none is: it saves
    nothing up. So a model that is asked again after a pause waits for one run of another at most and then has as much
    time as that run took, and one that is saturated takes what the others leave.

    Time and not tokens or runs is shared: a run of a small model costs a hundredth of one of a large one.
    """

    def __init__(self, streams: int) -> None:
        self._free = streams
        self._lanes: list[Lane] = []

    def lane(self) -> Lane:
        """Return a place for one more batcher."""
        lane = Lane()
        self._lanes.append(lane)
        return lane

    def wait_s(self, lane: Lane) -> float:
        """Return the seconds until a lane without a turn has one, if the others' runs take as long as their last."""
        if self._free or lane.running:
            return 0.0
        return sum(other.last_s for other in self._lanes if other is not lane and other.busy)

    async def enter(self, lane: Lane) -> None:
        """Wait for a turn; each is given back by `leave`, unless this call was cancelled."""
        if not lane.busy:
            used = [other.used_s for other in self._lanes if other is not lane and other.busy]
            level = min(used) if used else max(other.used_s for other in self._lanes)
            lane.used_s = max(lane.used_s, level)
        if self._free:
            self._free -= 1
            lane.running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(lane)  # it was given in the same turn of the loop
            else:
                lane.waiting.remove(turn)
            raise

    def keeps(self, lane: Lane, seconds: float) -> bool:
        """Charge a lane for a run of `seconds`; return whether its next run goes before those of lanes that wait."""
        lane.used_s += seconds
        lane.last_s = seconds
        return all(other is lane or lane.used_s < other.used_s for other in self._lanes if other.waiting)

    def leave(self, lane: Lane) -> None:
        """Give a turn back."""
        lane.running -= 1
        waiting = [other for other in self._lanes if other.waiting]
        if not waiting:
            self._free += 1
            return
        chosen = min(waiting, key=lambda other: other.used_s)
        chosen.running += 1
        chosen.waiting.popleft().set_result(None)
