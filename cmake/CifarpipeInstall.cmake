# `cmake --install`: the programs, the core, the plugins, the SDK's headers and the CMake package,
# with which outsiders build plugins: find_package(cifarpipe) and cifarpipe_add_stage().
include(CMakePackageConfigHelpers)
set(package_dir lib/cmake/cifarpipe)

install(TARGETS cifarpipe_core EXPORT cifarpipeTargets LIBRARY DESTINATION lib
        INCLUDES DESTINATION include/cifarpipe)
install(TARGETS cifarpipe-worker EXPORT cifarpipeTargets RUNTIME DESTINATION bin)
if(TARGET cifarpipe_cli)
  install(TARGETS cifarpipe_cli RUNTIME DESTINATION bin)
endif()
foreach(header IN LISTS CIFARPIPE_SDK_HEADERS)
  get_filename_component(folder ${header} DIRECTORY)
  install(FILES ${header} DESTINATION include/cifarpipe/${folder})
endforeach()
install(FILES ${CMAKE_BINARY_DIR}/include/plugins/sdk_digest.hpp
        DESTINATION include/cifarpipe/plugins)

install(EXPORT cifarpipeTargets NAMESPACE cifarpipe:: DESTINATION ${package_dir})
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/cifarpipeConfig.cmake.in
  ${CMAKE_BINARY_DIR}/cifarpipeConfig.cmake INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may change the SDK.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/cifarpipeConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/cifarpipeConfig.cmake
  ${CMAKE_BINARY_DIR}/cifarpipeConfigVersion.cmake
  cmake/CifarpipeAddStage.cmake cmake/CifarpipeEmbed.cmake cmake/CifarpipePrefixMaps.cmake
  cmake/CifarpipeTorch.cmake DESTINATION ${package_dir})
