"""Work that a device repeats from a recording: on CUDA, a launch of some fifty small kernels becomes one.

Work here is a function without arguments or result, which reads and writes tensors that stay where they are. A
recording repeats what the device did, with the addresses and numbers of that time; what Python did is not repeated.
"""

import logging
from collections.abc import Callable
from typing import Protocol

import torch as th

Work = Callable[[], object]

# Times that the same work is done before it is recorded. They are true updates, so nothing has to be undone; libraries
# that set themselves up at their first call do it here. Numbers that change at each call are never recorded.
WARM_UPS = 3

_log = logging.getLogger(__name__)


class Recorder(Protocol):
    """Makes recordings of work."""

    def warm_up(self, work: Work) -> None:
        """Do work as it will be recorded."""
        ...

    def record(self, work: Work) -> Callable[[], object]:
        """Give a function that repeats work, without doing it now."""
        ...


class CudaRecorder:
    """Records work as CUDA graphs.

    :param device: where the work's tensors are
    """

    def __init__(self, device: th.device) -> None:
        # CUDA cannot record its default stream. Warming up on the same one gives cuBLAS its memory for it.
        self._stream = th.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def warm_up(self, work: Work) -> None:
        """Do work on the stream that will be recorded, between what comes before and after on the present one."""
        present = th.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(present)
        with th.cuda.stream(self._stream):
            work()
        present.wait_stream(self._stream)

    def record(self, work: Work) -> Callable[[], object]:
        """Capture a CUDA graph; the device computes nothing meanwhile.

        :return: launches the graph on the present stream, without waiting for it
        """
        graph = th.cuda.CUDAGraph()
        # Torch's own context does not give the stream back where the capture fails.
        with th.cuda.stream(self._stream), th.cuda.graph(graph, stream=self._stream):
            work()
        replay: Callable[[], object] = graph.replay
        return replay


def recorder_for(device: th.device) -> Recorder | None:
    """Give what records work on a device, None where it is not worth it.

    :param device: where the work's tensors are
    """
    return CudaRecorder(device) if device.type == "cuda" else None


class Recorded:
    """Does work from a recording as soon as there is one; without any, for good, where recording fails.

    :param recorder: makes the recordings
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder: Recorder | None = recorder
        self._key: object = None
        self._calls = 0
        self._replay: Callable[[], object] | None = None

    def __call__(self, work: Work, key: object) -> None:
        """Do work once.

        :param work: its tensors must be the same as long as the key is
        :param key: equal to the last one if the last recording still holds: tells tensors and numbers of the work
        """
        if self._recorder is None:
            work()
            return
        if key != self._key:
            self._key, self._calls, self._replay = key, 0, None
        self._calls += 1
        if self._calls <= WARM_UPS:
            self._recorder.warm_up(work)
            return
        try:
            if self._replay is None:
                self._replay = self._recorder.record(work)
            self._replay()
        except Exception as error:
            # Neither a failed recording nor a failed launch has computed anything.
            self._recorder = self._replay = self._key = None
            reason = str(error.__context__ or error).partition("\n")[0]
            _log.warning("updates are computed call by call: capturing them as a CUDA graph failed (%s)", reason)
            work()
