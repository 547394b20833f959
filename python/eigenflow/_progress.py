"""Bars of tqdm, which is no requirement."""

from typing import Any


def progress_bar(**options: Any) -> Any:
    """Return ``tqdm.auto.tqdm(**options)``, or say what to install."""
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        msg = "progress: got True, which needs tqdm: pip install tqdm"
        raise ImportError(msg) from error
    return tqdm(**options)
