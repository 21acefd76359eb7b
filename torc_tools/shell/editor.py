"""The user's editor on a text of ours, as `git rebase -i` does it."""

import os

from torc_tools import exits
from torc_tools.exits import Failure


def edit(text: str, prefix: str) -> tuple[str, str]:
    """Let the user edit `text` in $VISUAL, else $EDITOR, else vi; give (what came back, path of the file).

    The caller removes the file once it is of no more use. Raises Failure(1) where the editor fails: the file is kept.
    """
    import shlex
    import subprocess
    import tempfile

    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    descriptor, path = tempfile.mkstemp(prefix=prefix, suffix=".jsonl")
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    try:
        status = subprocess.run([*shlex.split(command), path], check=False).returncode
    except (OSError, ValueError) as error:
        raise Failure(exits.NO_INPUT, f"cannot start editor '{command}' on '{path}': {error}") from None
    if status:
        raise Failure(exits.EMPTY, f"editor '{command}' failed with exit code {status}; the text is kept in '{path}'")
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(), path
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(exits.DATA, f"cannot read '{path}' back: {error}") from None
