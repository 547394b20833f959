def start() -> None: ...
def stop() -> list[tuple[str, int, bool, int, int, int, float]]: ...
def repeat(
    name: str,
    scalar_bytes: int,
    by_rows: bool,
    rows: int,
    inner: int,
    cols: int,
    rounds: int,
    workers: int,
) -> list[float]: ...
