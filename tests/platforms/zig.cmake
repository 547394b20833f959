# Builds for another system with PyPI's ziglang, whose Clang carries the headers of each:
#   cmake --toolchain tests/platforms/zig.cmake -DPLATFORM=aarch64-linux-musl
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PLATFORM)
string(REGEX MATCH "^([^-]+)-([a-z]+)" _ "${PLATFORM}")
set(CMAKE_SYSTEM_PROCESSOR ${CMAKE_MATCH_1})
set(_linux Linux)
set(_macos Darwin)
set(_windows Windows)
set(CMAKE_SYSTEM_NAME ${_${CMAKE_MATCH_2}})

set(_zig ${CMAKE_CURRENT_LIST_DIR}/zig.py)
# Without -dynamic, zig would compile all of musl for a static program.
set(CMAKE_C_COMPILER ${_zig} cc -target ${PLATFORM} -dynamic)
set(CMAKE_CXX_COMPILER ${_zig} c++ -target ${PLATFORM} -dynamic)
set(CMAKE_RC_COMPILER ${_zig}) # asked for on Windows, and not used
# The host's tools know its own format only.
foreach(_language IN ITEMS C CXX)
  set(CMAKE_${_language}_ARCHIVE_CREATE "${_zig} ar qc <TARGET> <LINK_FLAGS> <OBJECTS>")
  set(CMAKE_${_language}_ARCHIVE_APPEND "${_zig} ar q <TARGET> <LINK_FLAGS> <OBJECTS>")
  set(CMAKE_${_language}_ARCHIVE_FINISH "${_zig} ranlib <TARGET>")
endforeach()
set(CMAKE_STRIP true)
set(CMAKE_INSTALL_NAME_TOOL true)
# Checks compile only: a link with another -march would build the C++ library once more.
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
