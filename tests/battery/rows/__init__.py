"""The rows that are too long for every change."""

from battery.rows import allocation, interrupts, leaks

ROWS = {"R9": allocation.ROW, "R10": interrupts.ROW, "R13": leaks.ROW}
