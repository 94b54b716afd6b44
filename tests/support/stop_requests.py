"""Asked to stop after every optimizer step, and never in what comes after training."""

import signal

from tutelage.engine.runtime.signals import StopRequest


class AtSteps(StopRequest):
    """A run with this one does one step each time it is started, or comes to its end."""

    def __init__(self) -> None:
        super().__init__()
        self.signal = signal.SIGINT

    def poll(self, _done: int = 0, _count: int = 0) -> None:
        """Go on."""
