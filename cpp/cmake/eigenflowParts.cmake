# Targets that are headers only, beside eigenflow::eigenflow. A program that links eigenflow::mpi
# has called find_package(MPI) itself: which MPI is its business.
#   _eigenflow_cuda_include   where eigenflow/cuda/*.cuh are
if(NOT TARGET eigenflow::mpi)
  add_library(eigenflow::mpi INTERFACE IMPORTED)
  set_target_properties(eigenflow::mpi PROPERTIES
    INTERFACE_LINK_LIBRARIES "eigenflow::eigenflow;MPI::MPI_CXX")
endif()
if(NOT TARGET eigenflow::cuda)
  add_library(eigenflow::cuda INTERFACE IMPORTED)
  set_target_properties(eigenflow::cuda PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES ${_eigenflow_cuda_include}
    INTERFACE_LINK_LIBRARIES eigenflow::eigenflow)
endif()
