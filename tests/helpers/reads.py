"""What waits for a device, found without one."""

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations that wait for a device: a number, a shape or an answer is read from a tensor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__.partition(".")[0] in (
            "_local_scalar_dense",
            "is_nonzero",
            "nonzero",
            "equal",
            "masked_select",
        ):
            self.found.append(func.__name__)
        return func(*args, **(kwargs or {}))
