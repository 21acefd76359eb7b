"""Texts that others chose, such as the names of jobs, made fit to be shown."""


def visible(text: str) -> str:
    r"""Make characters visible that control a terminal, break a line or turn text around: ESC is '\x1b'."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
