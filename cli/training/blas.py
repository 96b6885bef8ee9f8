"""Whether the library that multiplies matrices for NumPy and Numba makes use of the processor."""

import os

# OpenBLAS's kernels by what they need at least; others, such as those of ARM's processors, are not compared.
_AVX = ("sandybridge", "bulldozer", "piledriver", "steamroller", "excavator")
_AVX2 = ("haswell", "zen")
_AVX512 = ("skylakex", "cooperlake", "sapphirerapids")
_SSE = (
    "prescott",
    "core2",
    "penryn",
    "dunnington",
    "nehalem",
    "athlon",
    "opteron",
    "barcelona",
    "bobcat",
    "atom",
    "nano",
)
_LEVELS = {name: level for level, names in enumerate((_SSE, _AVX, _AVX2, _AVX512)) for name in names}
_PROCESSORS = {"AVX2": 2, "AVX512": 3}  # torch's names


def remarks_on_blas() -> list[str]:
    """Say so where OpenBLAS computes with kernels for an older processor than this one."""
    import torch as th

    try:
        from threadpoolctl import threadpool_info
    except ImportError:  # of the numba extra
        return []
    kernels = {
        str(library.get("architecture")) for library in threadpool_info() if library.get("internal_api") == "openblas"
    }
    return [
        remark
        for kernel in sorted(kernels)
        if (remark := remark_on_kernel(kernel, th.backends.cpu.get_cpu_capability())) is not None
    ]


def remark_on_kernel(kernel: str, processor: str) -> str | None:
    """Compare a kernel with the processor.

    :param kernel: OpenBLAS's name for it, such as ``"Haswell"``
    :param processor: torch's name for what the processor can do, such as ``"AVX512"``
    :return: a sentence, None where there is nothing to say
    """
    level, able = _LEVELS.get(kernel.lower().partition("_")[0]), _PROCESSORS.get(processor)
    if level is None or able is None or level >= able:
        return None
    chosen = os.environ.get("OPENBLAS_CORETYPE")
    why = f"because OPENBLAS_CORETYPE is {chosen}: unset it" if chosen else "as far as it knows: try a newer NumPy"
    return f"OpenBLAS multiplies with kernels for {kernel}, slower than this processor with {processor} can, {why}"
