"""Requests that may still take effect though the call that sent them has ended.

A request whose reply was lost may be carried out a moment later, also when it was repeated and the
repeat was acknowledged. If another write of the same image were acknowledged in between, the late
one would undo it. So another write waits until that can no longer happen, as far as is reckoned
with: for `RetryPolicy.look` seconds after the lost request.
"""

from __future__ import annotations

from aioe2e._actions import ACTIONS
from aioe2e.models import Action

from .known import trim

#: Images with lost requests that are remembered at the most.
_MOST = 10_000


class LateWrites:
    """The lost requests of each image, as long as they may take effect."""

    def __init__(self) -> None:
        #: By image, in the order of its latest lost request: when each was lost.
        self._lost: dict[str, dict[tuple[Action, str], float]] = {}
        self._longest_lag = 0.0

    def lost(self, image_id: str, action: Action, name: str, at: float, lag: float) -> None:
        """A request was sent, and no reply said what came of it.

        Args:
            image_id: The image.
            action: What the request asks for.
            name: The name that it gives.
            at: Loop time at which its attempt ended.
            lag: Seconds after that within which it may take effect.
        """
        self._longest_lag = max(self._longest_lag, lag)
        self._forget_settled(at)
        requests = self._lost.pop(image_id, {})
        requests[action, name] = at
        self._lost[image_id] = requests
        trim(self._lost, _MOST)

    def _forget_settled(self, now: float) -> None:
        """Forget the images of which no lost request can take effect any more."""
        settled: list[str] = []
        for image_id, requests in self._lost.items():
            if max(requests.values()) + self._longest_lag >= now:
                break
            settled.append(image_id)
        for image_id in settled:
            del self._lost[image_id]

    def settled_at(self, image_id: str, action: Action, name: str, lag: float) -> float:
        """From when on (loop time) a write may be sent that no lost request will undo.

        Args:
            image_id: The image.
            action: What the write does.
            name: The name that it gives.
            lag: Seconds after its end within which a lost request may take effect.

        Returns:
            A moment in the past where there is nothing to wait for.
        """
        self._longest_lag = max(self._longest_lag, lag)
        lost = self._lost.get(image_id)
        if lost is None:
            return 0.0
        moments = [
            at + lag
            for (earlier, earlier_name), at in lost.items()
            if _would_undo(earlier, earlier_name, action, name)
        ]
        return max(moments, default=0.0)


def _would_undo(earlier: Action, earlier_name: str, action: Action, name: str) -> bool:
    """Whether an earlier request that takes effect after a write leaves another state than it."""
    if (earlier, earlier_name) == (action, name):
        return False
    return not ACTIONS[action].destroys  # what is gone cannot be changed any more
