# find_package(eigenflow) inside a Python environment: builds the static library from the sources that
# the wheel carries. Set EIGENFLOW_BLAS to `table` when the program fills the BLAS table itself.
if(NOT TARGET eigenflow::eigenflow)
  get_filename_component(_eigenflow_root ${CMAKE_CURRENT_LIST_DIR}/../../.. ABSOLUTE)
  add_subdirectory(${_eigenflow_root}/cpp ${CMAKE_BINARY_DIR}/eigenflow EXCLUDE_FROM_ALL)
  set(_eigenflow_cuda_include ${_eigenflow_root}/cuda/include)
  include(${_eigenflow_root}/cpp/cmake/eigenflowParts.cmake)
endif()
