"""The rows of the battery, by their numbers in docs/reliability."""

from battery.rows import (
    allocation,
    dask_faults,
    device,
    fuzz_bindings,
    hostile_files,
    interrupts,
    leaks,
    mpi_faults,
    races,
    ratios,
    sanitizers,
    sizes,
    suite,
    tolerances,
)

ROWS = {
    "R1": tolerances.ROW,
    "R2": ratios.ROW,
    "R3": suite.PROPERTIES,
    "R4": suite.HOSTILE,
    "R5": suite.NONFINITE,
    "R6": fuzz_bindings.ROW,
    "R7": hostile_files.ROW,
    "R8": sizes.ROW,
    "R9": allocation.ROW,
    "R10": interrupts.ROW,
    "R11": sanitizers.ROW,
    "R11b": races.ROW,
    "R12": suite.THREADS,
    "R13": leaks.ROW,
    "R14": dask_faults.ROW,
    "R15": mpi_faults.ROW,
    "R16": suite.REPRODUCIBLE,
    "R17": device.ROW,
}
