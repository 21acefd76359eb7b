"""torc-hpc: profiles built in, a site's own, and that of a Slurm; which partition suits a need."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import Torc

from torc_tools import exits, units
from torc_tools.core import profiles, profiles_builtin, profiles_custom, profiles_unfit
from torc_tools.core.packing import Need
from torc_tools.core.problems import Problems
from torc_tools.core.profiles import Partition, Profile
from torc_tools.exits import Failure
from torc_tools.flows import clusters
from torc_tools.shell import slurm

if TYPE_CHECKING:
    import subprocess

CAPTURED = Path(__file__).resolve().parent / "data" / "slurm" / "22.05"
GIB, HOUR = 1 << 30, 3600
SITE = """\
profiles:
  hydra:
    display_name: Hydra
    detect_env_var: SITE=hydra
    default_account: physics
    charge_factor_gpu: 10
    partitions:
      - {name: batch, cpus_per_node: 64, memory: 240g, max_walltime: P2D}
      - {name: fat, cpus_per_node: 64, memory_mb: 983040, max_walltime_secs: 3600, max_nodes: 4, local_disk_gb: 2}
      - {name: gpu, cpus_per_node: 64, memory: 480g, max_walltime: 1-00:00:00, gpus_per_node: 4, gpu_type: a100,
         shared: true, requires_explicit_request: true, default_qos: normal, min_nodes: 1, features: [ib]}
"""


def records(done: "subprocess.CompletedProcess[bytes]", kind: str) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr.decode()
    return [record for record in map(json.loads, done.stdout.splitlines()) if record["type"] == kind]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put clients on PATH that print what a real Slurm printed; no profile that is built in is here."""
    folder = tmp_path / "slurm bin"
    folder.mkdir()
    texts = {"partition": "partitions", "config": "config", "node": "nodes"}
    cases = "\n".join(f'*{word}*) exec cat "{CAPTURED}/{name}.txt";;' for word, name in texts.items())
    for name, script in (("sinfo", f'exec cat "{CAPTURED}/sinfo.txt"'), ("scontrol", f'case "$*" in {cases} esac')):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name in ("NREL_CLUSTER", "CLUSTER", "TORC_PROFILES"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def nowhere(here: Path) -> Path:
    """Let the clients fail: no Slurm answers."""
    for path in here.iterdir():
        path.write_text("#!/bin/sh\necho 'error: Unable to contact slurm controller' >&2\nexit 1\n")
    return here


# which partition

KESTREL = [  # (cpus, memory, gpus, hours, nodes), partition; torc-021 14.E 128, 129
    ((104, "240g", 0, 3, 1), "short"),
    ((104, "241g", 0, 3, 1), "medmem"),
    ((104, "961g", 0, 3, 1), "medmem"),
    ((104, "962g", 0, 3, 1), "bigmem"),
    ((104, "2000g", 0, 3, 1), None),
    ((128, "4g", 0, 3, 1), "gpu-h100s"),
    ((1, "1g", 0, 5, 1), "standard"),
    ((1, "1g", 0, 49, 1), "long"),
    ((1, "1g", 0, 241, 1), None),
    ((104, "962g", 0, 49, 1), "bigmeml"),
    ((1, "1g", 1, 1, 1), "gpu-h100s"),
    ((1, "1g", 4, 24, 1), "gpu-h100"),
    ((1, "1g", 4, 100, 1), "gpu-h100l"),
    ((1, "1g", 5, 1, 1), None),
    ((1, "400g", 1, 1, 1), None),
    ((104, "10g", 0, 24, 2000), "standard"),
    ((104, "10g", 0, 100, 431), None),  # torc never looks at max_nodes
    ((104, "241g", 0, 24, 65), "gpu-h100"),  # medmem gives 64 nodes; the GPU nodes are routed to
    ((104, "962g", 0, 24, 11), None),
    ((104, "241g", 0, 24, 64), "medmem"),
]


@pytest.mark.parametrize(("wanted", "name"), KESTREL)
def test_the_best_partition_of_kestrel(wanted: tuple[int, str, int, int, int], name: str | None) -> None:
    cpus, memory, gpus, hours, nodes = wanted
    need = Need(cpus, units.parse_memory(memory), gpus, hours * HOUR)
    found = profiles.best(profiles_builtin.KESTREL, need, nodes)
    assert (found.name if found else None) == name
    assert (found is None) == (profiles.matching(profiles_builtin.KESTREL, need, nodes) == [])


def test_the_best_partition_of_dane() -> None:
    found = profiles.best(profiles_builtin.DANE, Need(1, GIB, 0, HOUR))
    assert found is not None
    assert (found.name, found.must_be_named) == ("pbatch", False)
    long = profiles.best(profiles_builtin.DANE, Need(1, GIB, 0, 48 * HOUR))
    assert long is not None
    assert (long.name, long.must_be_named) == ("pserial", True)


def made(*partitions: Partition) -> Profile:
    return Profile("made", "Made", partitions)


def test_classes_come_before_size() -> None:
    plain = Partition("plain", 64, 100 * GIB, HOUR)
    shared = Partition("for_sharing", 64, 200 * GIB, HOUR, shared=True)
    gpu = Partition("gpu", 64, 50 * GIB, HOUR, gpus_per_node=2)
    explicit = Partition("explicit", 64, 10 * GIB, HOUR, requires_explicit_request=True)
    debug = Partition("debug", 64, GIB * 5, HOUR)
    profile = made(plain, shared, gpu, explicit, debug)
    assert profiles.best(profile, Need(1, GIB, 0, 60)) == shared
    assert profiles.best(profile, Need(27, GIB, 0, 60)) == plain
    assert profiles.best(profile, Need(1, 59 * GIB, 0, 60)) == plain
    assert profiles.best(profile, Need(1, GIB, 1, 60)) == gpu
    assert profiles.best(made(gpu, explicit), Need(1, GIB, 0, 60)) == gpu
    assert profiles.best(made(explicit, debug), Need(1, GIB, 0, 60)) == explicit
    assert profiles.best(made(debug), Need(1, GIB, 0, 60)) == debug
    assert profiles.best(made(plain, plain._replace(name="same")), Need(1, GIB, 0, 60)) == plain


def test_a_partition_says_how_many_nodes_it_gives() -> None:
    wide = Partition("wide", 64, GIB, HOUR, min_nodes=2, max_nodes=4)
    assert [profiles.fits(wide, Need(1, 1, 0, 1), nodes) for nodes in (1, 2, 4, 5)] == [False, True, True, False]
    assert not profiles.fits(wide._replace(is_up=False), Need(1, 1, 0, 1), 2)


def test_what_fits_nowhere_is_told_why_and_what_would() -> None:
    lines = profiles_unfit.lines(profiles_builtin.KESTREL, Need(200, GIB, 0, HOUR))
    assert lines[0] == "no partition of NLR Kestrel fits 200 CPUs, 1.00 GB, PT1H"
    assert lines[1:] == [
        "  up to 104 CPUs in debug, short, standard, long, medmem and 5 more",
        "  up to 128 CPUs in gpu-h100s, gpu-h100, gpu-h100l",
    ]
    off = Partition("off", 1, 1, 1, is_up=False, min_nodes=9)
    assert list(profiles_unfit.lacks(off, Need(2, 2, 2, 2), 3)) == [
        "nothing, for it is not up,", "up to 1 CPUs", "up to 0.0 MB", "no GPUs", "up to PT1S", "from 9 nodes on",
    ]  # fmt: skip


# the command

WALLTIMES = [  # torc-021 14.E 126: what is written, what torc reads, what we read, why we differ
    ("30", 1800, None, "minutes to Slurm, seconds to others: refused"),
    ("30:00", 1800, None, "MM:SS to Slurm, HH:MM to many: refused"),
    ("1:00:00", 3600, 3600, ""),
    ("4:00", 240, None, "MM:SS to Slurm, HH:MM to many: refused"),
    ("1-12", 87120, 129600, "a day and 12 hours, as Slurm reads it; torc takes the hours for minutes"),
    ("1-12:30", 87150, 131400, "a day, 12 hours and 30 minutes, as Slurm reads it"),
    ("2h", None, None, ""),
    ("PT2H30M", None, 9000, "ISO 8601, as everywhere in a spec"),
]
MEMORIES = [  # torc-021 14.E 127: what is written, MB to torc, bytes to us, why we differ
    ("512k", 0, 512 << 10, "torc rounds down to 0 MB"),
    ("1.5g", 1536, 1536 << 20, ""),
    ("100", 100, 100, "a bare number is bytes everywhere (design 10)"),
    ("8GB", None, 8 << 30, "one grammar for memory everywhere (design 10)"),
    ("1t", None, 1 << 40, "one grammar for memory everywhere (design 10)"),
    ("1.5m", None, 3 << 19, "one grammar for memory everywhere (design 10)"),
]


def parsed(option: str, text: str) -> int | None:
    from torc_tools.commands import hpc

    words = {"--cpus": "1", "--memory": "1g", "--walltime": "PT1H", option: text}
    try:
        args = hpc.parser().parse_args(["match", *(word for pair in words.items() for word in pair)])
    except SystemExit:
        return None
    return int(getattr(args, option.removeprefix("--")))


@pytest.mark.parametrize(("text", "theirs", "ours", "why"), WALLTIMES)
def test_walltimes(text: str, theirs: int | None, ours: int | None, why: str) -> None:
    assert parsed("--walltime", text) == ours
    assert (theirs == ours) == (not why)


@pytest.mark.parametrize(("text", "theirs", "ours", "why"), MEMORIES)
def test_memories(text: str, theirs: int | None, ours: int, why: str) -> None:
    assert parsed("--memory", text) == ours
    assert (theirs is not None and theirs << 20 == ours) == (not why)


def test_match_writes_the_best_first(torc: Torc) -> None:
    done = torc("torc-hpc", "match", "kestrel", "--cpus=104", "--memory=241g", "--walltime=PT3H")
    found = records(done, "partition")
    assert [record["name"] for record in found] == ["medmem", "bigmem", "bigmeml", "gpu-h100s", "gpu-h100", "gpu-h100l"]
    assert [record["is_best"] for record in found] == [True, *[False] * 5]
    assert (found[0]["profile"], found[0]["memory_bytes"]) == ("kestrel", 984256 << 20)


def test_a_match_that_fits_nowhere(torc: Torc) -> None:
    done = torc("torc-hpc", "match", "--profile=kestrel", "--cpus=1", "--memory=1t", "--walltime=11-00", "--nodes=3")
    assert (done.returncode, done.stdout) == (exits.EMPTY, b"")
    lines = done.stderr.decode().splitlines()
    assert lines[0] == "torc-hpc: no partition of NLR Kestrel fits 1 CPUs, 1024.00 GB, PT264H, 3 nodes"
    assert lines[1:] == ["torc-hpc:   up to PT48H in bigmem", "torc-hpc:   up to PT240H in bigmeml"]


WRONG = [
    (),
    ("nothing",),
    ("detect", "kestrel"),
    ("list", "kestrel"),
    ("list", "--gpu"),
    ("show", "--cpus=1", "kestrel"),
    ("match", "kestrel"),
    ("match", "--cpus=1", "--memory=1g", "kestrel"),
    ("match", "kestrel", "--profile=dane", "--cpus=1", "--memory=1g", "--walltime=PT1H"),
    ("match", "kestrel", "--cpus=0", "--memory=1g", "--walltime=PT1H"),
    ("partitions", "--gpu", "--cpu", "kestrel"),
    ("partitions", "--walltime=PT1H", "kestrel"),
]


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_usage(torc: Torc, words: tuple[str, ...]) -> None:
    assert torc("torc-hpc", *words).returncode == exits.USAGE


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--gpu",), ["debug", "gpu-h100s", "gpu-h100", "gpu-h100l"]),
        (("--cpu", "--shared"), ["shared", "sharedl"]),
        (("--shared", "--where", "max_nodes && max_nodes < `40`"), ["debug", "sharedl", "gpu-h100l"]),
    ],
)
def test_partitions(torc: Torc, options: tuple[str, ...], names: list[str]) -> None:
    found = records(torc("torc-hpc", "partitions", *options, "kestrel"), "partition")
    assert [record["name"] for record in found] == names


def test_show(torc: Torc, here: Path) -> None:
    done = torc("torc-hpc", "show", "dane")
    (profile,) = records(done, "profile")
    assert (profile["display_name"], profile["detected"], profile["partition_count"]) == ("LLNL Dane", False, 6)
    assert [record["name"] for record in records(done, "partition")] == profile["partitions"]
    table = torc("torc-hpc", "show", "-f", "table", "dane").stdout.decode().splitlines()
    assert table[0].split() == [
        "name",
        "cpus",
        "memory",
        "walltime",
        "gpus",
        "gpu_type",
        "max_nodes",
        "shared",
        "explicit",
    ]
    assert table[2].split()[:5] == ["pbatch", "112", "251.03", "GB", "PT24H"]


# which cluster


def test_the_cluster_that_answers_here(torc: Torc, here: Path) -> None:
    (profile,) = records(torc("torc-hpc", "detect"), "profile")
    assert (profile["name"], profile["source"], profile["detected"]) == ("torctest", "slurm", True)
    assert profile["partitions"] == ["debug", "standard", "bigmem"]
    for name in ("slurm", "torctest"):
        assert records(torc("torc-hpc", "show", name), "profile") == [profile]
    found = records(torc("torc-hpc", "match", "--cpus=4", "--memory=5g", "--walltime=PT5M"), "partition")
    assert [(record["name"], record["is_best"], record["always_named"]) for record in found] == [
        ("standard", True, True),
        ("debug", False, True),
        ("bigmem", False, True),
    ]


def test_the_order_of_detection(torc: Torc, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site's own, then those built in, then the Slurm that answers."""
    (tmp_path / "site.yaml").write_text(SITE)
    names = []
    for name, value in (
        ("", ""),
        ("CLUSTER", "dane"),
        ("TORC_PROFILES", str(tmp_path / "site.yaml")),
        ("SITE", "hydra"),
    ):
        if name:
            monkeypatch.setenv(name, value)
        names += [record["name"] for record in records(torc("torc-hpc", "detect"), "profile")]
        listed = records(torc("torc-hpc", "list"), "profile")
        assert [record["name"] for record in listed if record["detected"]] == names[-1:]
    assert names == ["torctest", "dane", "dane", "hydra"]
    assert [record["name"] for record in listed] == ["hydra", "dane", "kestrel", "torctest"]


def test_no_cluster(torc: Torc, nowhere: Path) -> None:
    done = torc("torc-hpc", "detect")
    assert (done.returncode, done.stdout) == (exits.UNAVAILABLE, b"")
    assert b"Unable to contact" in done.stderr
    listed = torc("torc-hpc", "list")
    assert [record["name"] for record in records(listed, "profile")] == ["dane", "kestrel"]
    assert b"note: Slurm gives no answer" in listed.stderr
    assert torc("torc-hpc", "show", "slurm").returncode == exits.UNAVAILABLE
    done = torc("torc-hpc", "show", "nosuch")
    assert (done.returncode, done.stderr.count(b"\n")) == (exits.NO_INPUT, 1)
    assert b"there are: dane, kestrel" in done.stderr


def test_a_cluster_without_partitions(here: Path) -> None:
    (here / "sinfo").write_text("#!/bin/sh\nhead -n 1 " + f"'{CAPTURED}/sinfo.txt'\n")
    with pytest.raises(slurm.Unavailable, match="no partition"):
        clusters.resolve()


# a site's own profiles


def test_a_sites_own_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(SITE)
    monkeypatch.setenv("TORC_PROFILES", str(file))
    profile = clusters.resolve("hydra")
    assert (profile.display_name, profile.source, profile.default_account) == ("Hydra", "custom", "physics")
    assert (profile.charge_factor_cpu, profile.charge_factor_gpu) == (1.0, 10.0)
    batch, fat, gpu = profile.partitions
    assert batch == Partition("batch", 64, 240 * GIB, 48 * HOUR)
    assert (fat.memory_bytes, fat.max_walltime_s, fat.max_nodes, fat.local_disk_bytes) == (960 * GIB, HOUR, 4, 2 * GIB)
    assert (gpu.max_walltime_s, gpu.gpus_per_node, gpu.gpu_type, gpu.features) == (24 * HOUR, 4, "a100", ("ib",))
    assert (gpu.shared, gpu.requires_explicit_request, gpu.default_qos, gpu.min_nodes) == (True, True, "normal", 1)


def test_a_name_that_is_built_in_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "site.json"
    partition = {"name": "p", "cpus_per_node": 1, "memory": 1024, "max_walltime": "PT1H"}
    file.write_text(json.dumps({"profiles": {"kestrel": {"partitions": [partition]}}}))
    assert clusters.resolve("kestrel", str(file)).display_name == "kestrel"
    assert [each.name for each in clusters.known(str(file))] == ["kestrel", "dane"]


def test_a_host_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = Profile("x", "X", (), detect_hostname="^" + os.uname().nodename[:2])
    assert clusters.is_here(profile)
    assert not clusters.is_here(profile._replace(detect_hostname="^no such host$"))
    assert not clusters.is_here(profile._replace(detect_hostname=None, detect_env_var="NO_SUCH_VARIABLE=1"))


def test_every_problem_is_named_with_its_line(torc: Torc, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("""\
extra: 1
profiles:
  a:
    display_nam: A
    detect_env_var: SITE
    detect_hostname: "["
    charge_factor_cpu: -1
    partitions:
      - name: p
        cpus_per_node: 0
        memory: lots
        memory_mb: 5
        max_walltime: 4:00
        shared: maybe
        features: ib
      - {name: q, cpus_per_node: 1, memory: 1g, max_walltime: PT1H, min_nodes: 3, max_nodes: 2}
      - {name: q, cpus_per_node: 1, memory: 1g, max_walltime: PT1H}
      - {name: r}
      - p
  b:
    description: no partitions
  c: 5
""")
    done = torc("torc-hpc", "list", "--profiles", file)
    assert (done.returncode, done.stdout) == (exits.DATA, b"")
    said = [line.partition(f"{file}:")[2] for line in done.stderr.decode().splitlines()]
    assert [line.partition(":")[0] for line in said] == [
        "1", "4", "5", "6", "7", "10", "11", "13", "14", "15", "16", "17", "18", "19", "20", "22",
    ]  # fmt: skip
    assert said[1] == "4: profiles.a.display_nam: unknown key, did you mean 'display_name'?"
    assert said[-4] == "18: profiles.a.partitions[3]: no 'cpus_per_node', 'memory', 'max_walltime'"


@pytest.mark.parametrize("data", [None, [], "x", {}, {"profiles": []}, {"profiles": {"a": None}}])
def test_what_is_no_file_of_profiles(data: object) -> None:
    problems = Problems()
    profiles_custom.read(data, problems)
    assert problems


def test_the_file_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        clusters.resolve(None, str(tmp_path / "none.yaml"))
    assert caught.value.status == exits.NO_INPUT


def test_the_file_in_the_page_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parent.parent / "man" / "man1" / "torc-hpc.1").read_text()
    file = tmp_path / "site.yaml"
    file.write_text(page.partition(".Bd -literal\n")[2].partition(".Ed")[0])
    (hydra, *_) = clusters.known(str(file))
    assert [each.name for each in hydra.partitions] == ["batch", "gpu"]
    for key in (*profiles_custom.PARTITION, *profiles_custom.PROFILE):
        assert key in page, key
