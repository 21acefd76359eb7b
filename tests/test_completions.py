"""Completions as a person meets them: typed in a real shell, with those of all commands loaded."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import waiting
from conftest import Torc

TYPED = {  # what is typed before the tab: what stands there after it
    "torc-watch --not": "torc-watch --notify",
    "torc-watch --metrics the_m": "torc-watch --metrics the_metrics.prom",
    "torc watch --persis": "torc watch --persistent",  # torc's own word, which torc-watch does not know
    "torc jobs li": "torc jobs list",
    "torc-run the_s": "torc-run the_spec.yaml",
    "torc-recover --retry-": "torc-recover --retry-unknown",
}
LOAD = {
    "bash": ("bash --norc --noprofile", "source ./c"),
    "zsh": ("zsh -f", 'autoload -U compinit; compinit -u -D; eval "$(<./c)"'),
    "fish": ("fish --no-config", "source ./c"),
}


def tmux(*words: object) -> str:
    name = f"torc-shell-{os.getpid()}"
    done = subprocess.run(
        ["tmux", "-L", name, "-f", "/dev/null", *map(str, words)], capture_output=True, text=True, check=False
    )
    return done.stdout


@pytest.fixture
def ended() -> Iterator[None]:
    yield
    tmux("kill-server")
    socket = Path(os.environ.get("TMUX_TMPDIR") or "/tmp", f"tmux-{os.getuid()}", f"torc-shell-{os.getpid()}")
    socket.unlink(missing_ok=True)


@pytest.mark.parametrize("shell", list(LOAD))
def test_a_tab_completes_words_options_and_files(torc: Torc, work_dir: Path, ended: None, shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    (work_dir / "c").write_bytes(torc("torc-completions", shell).stdout)
    for name in ("the_metrics.prom", "the_spec.yaml"):
        (work_dir / name).touch()
    start, load = LOAD[shell]
    tmux("new-session", "-d", "-x", 100, "-y", 30, f"HOME=$PWD XDG_CONFIG_HOME=$PWD {start}")
    tmux("send-keys", f"{load} && touch loaded", "Enter")
    waiting.until((work_dir / "loaded").exists, f"{shell} to have read them")
    for typed, there in TYPED.items():
        tmux("send-keys", "-l", typed)
        tmux("send-keys", "Tab")
        waiting.until(lambda there=there: there in tmux("capture-pane", "-p", "-J"), f"{there!r} in {shell}")
        tmux("send-keys", "C-u")
