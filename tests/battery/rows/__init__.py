"""The rows that are too long for every change."""

from battery.rows import (
    allocation,
    fuzz_bindings,
    hostile_files,
    interrupts,
    leaks,
    ratios,
    sizes,
    tolerances,
)

ROWS = {
    "R1": tolerances.ROW,
    "R2": ratios.ROW,
    "R6": fuzz_bindings.ROW,
    "R7": hostile_files.ROW,
    "R8": sizes.ROW,
    "R9": allocation.ROW,
    "R10": interrupts.ROW,
    "R13": leaks.ROW,
}
