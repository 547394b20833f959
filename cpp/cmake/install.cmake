# Two ways in for C++ users, one find_package(eigenflow) for both:
#   cmake --install   gives headers and the built library;
#   the wheel         carries the sources, and its configuration builds them on the spot.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

if(SKBUILD)
  set(_config_dir eigenflow/lib/cmake/eigenflow)
  install(DIRECTORY cpp/ DESTINATION eigenflow/cpp)
  install(DIRECTORY cuda/ DESTINATION eigenflow/cuda)
  install(FILES cpp/cmake/eigenflowSourceConfig.cmake DESTINATION ${_config_dir}
          RENAME eigenflowConfig.cmake)
else()
  set(_config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/eigenflow)
  install(DIRECTORY cpp/include/ cuda/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(TARGETS eigenflow EXPORT eigenflowTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
          INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT eigenflowTargets NAMESPACE eigenflow:: DESTINATION ${_config_dir})
  configure_package_config_file(cpp/cmake/eigenflowConfig.cmake.in
    ${CMAKE_CURRENT_BINARY_DIR}/eigenflowConfig.cmake INSTALL_DESTINATION ${_config_dir}
    PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/eigenflowConfig.cmake
          cpp/cmake/eigenflowParts.cmake DESTINATION ${_config_dir})
endif()

write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/eigenflowConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/eigenflowConfigVersion.cmake DESTINATION ${_config_dir})
