"""The clusters that torc knows without asking: NLR's Kestrel and LLNL's Dane."""

from torc_tools.core.profiles import Partition, Profile

_DAY, _MB, _GB = 86400, 1 << 20, 1 << 30


def _kestrel(name: str, days: float, nodes: int | None = None, user: int | None = None) -> Partition:
    """Make a partition of Kestrel's plain nodes; what differs is replaced."""
    seconds = round(days * _DAY)
    return Partition(name, 104, 246_064 * _MB, seconds, max_nodes=nodes, max_nodes_per_user=user)


def _gpu(name: str, days: float, nodes: int | None = None) -> Partition:
    return _kestrel(name, days, nodes)._replace(
        cpus_per_node=128,
        memory_bytes=360_000 * _MB,
        gpus_per_node=4,
        gpu_type="h100",
        gpu_memory_bytes=80 * _GB,
        shared=True,
    )


_MEDIUM, _LARGE = 984_256 * _MB, 2_000_000 * _MB
KESTREL = Profile(
    "kestrel",
    "NLR Kestrel",
    (
        _kestrel("debug", 1 / 24, 2)._replace(
            gpus_per_node=2, gpu_type="h100", shared=True, requires_explicit_request=True
        ),
        _kestrel("short", 4 / 24, 2240),
        _kestrel("standard", 2, 2240, 1050),
        _kestrel("long", 10, 430, 215),
        _kestrel("medmem", 10, 64, 32)._replace(memory_bytes=_MEDIUM),
        _kestrel("bigmem", 2, 10, 4)._replace(memory_bytes=_LARGE, local_disk_bytes=5600 * _GB),
        _kestrel("bigmeml", 10, 4, 2)._replace(memory_bytes=_LARGE),
        _kestrel("hbw", 2, 512, 256)._replace(min_nodes=2, requires_explicit_request=True),
        _kestrel("hbwl", 10, 128, 64)._replace(min_nodes=2, requires_explicit_request=True),
        _kestrel("nvme", 2, 256, 128)._replace(local_disk_bytes=1700 * _GB, requires_explicit_request=True),
        _kestrel("shared", 2, 128, 64)._replace(shared=True, requires_explicit_request=True),
        _kestrel("sharedl", 10, 32, 16)._replace(shared=True, requires_explicit_request=True),
        _gpu("gpu-h100s", 4 / 24),
        _gpu("gpu-h100", 2),
        _gpu("gpu-h100l", 10, 39),
    ),
    charge_factor_cpu=10.0,
    charge_factor_gpu=100.0,
    detect_env_var="NREL_CLUSTER=kestrel",
)


def _dane(name: str, days: float, *, explicit: bool = True, shared: bool = False) -> Partition:
    seconds = round(days * _DAY)
    return Partition(name, 112, 257_054 * _MB, seconds, shared=shared, requires_explicit_request=explicit)


DANE = Profile(
    "dane",
    "LLNL Dane",
    (
        _dane("pdebug", 1 / 24),
        _dane("pbatch", 1, explicit=False),
        _dane("pci", 1),
        _dane("pserial", 7),
        _dane("pjupyter", 1, shared=True),
        _dane("pall", 365),
    ),
    detect_env_var="CLUSTER=dane",
)

ALL = (DANE, KESTREL)
