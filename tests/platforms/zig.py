#!/usr/bin/env python3
"""``zig.py c++|cc|ar|ranlib|rc ...``: a tool of PyPI's ziglang, by which CMake can call it.

It takes Clang's options, but spells the levels of x86-64 with underscores.
"""

import os
import sys
from pathlib import Path

import ziglang

arguments = [
    "-march=" + argument.removeprefix("-march=").replace("-", "_")
    if argument.startswith("-march=x86-64")
    else argument
    for argument in sys.argv[1:]
]
program = Path(ziglang.__file__).with_name("zig")
os.execv(program, [str(program), *arguments])
