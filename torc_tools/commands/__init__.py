"""One file a command: options, streams, one call. This one comes before each of them and makes their start light."""

import gc

from torc_tools.shell import later

gc.set_threshold(100_000)  # a command lives for a moment: looking for garbage while it loads costs more than it finds
with later.put_off("inspect"):  # orjson asks for dataclasses, which need it to make classes alone: 6 ms
    import orjson  # noqa: F401
