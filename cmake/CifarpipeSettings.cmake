# Language, warnings, output folders, and what makes the same source give the same build-id in
# every folder: no absolute paths in the objects, only $ORIGIN in RPATHs, no dates.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CIFARPIPE_PLUGIN_DIR ${CMAKE_BINARY_DIR}/lib/cifarpipe/plugins)

find_program(CIFARPIPE_CCACHE ccache)
if(CIFARPIPE_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      ${CIFARPIPE_CCACHE})
endif()

include(CifarpipePrefixMaps)
add_library(cifarpipe_settings INTERFACE)
target_compile_options(cifarpipe_settings INTERFACE -Wall -Wextra -Wpedantic
  $<$<BOOL:${CIFARPIPE_WERROR}>:-Werror>)
cifarpipe_prefix_maps(cifarpipe_settings)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees overlaps in std::string that are not there (its bug 105651).
  target_compile_options(cifarpipe_settings INTERFACE -Wno-restrict)
endif()
target_include_directories(cifarpipe_settings INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>)
if(CIFARPIPE_SANITIZE)
  target_compile_options(cifarpipe_settings INTERFACE -fsanitize=${CIFARPIPE_SANITIZE}
                         -fno-omit-frame-pointer)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Instrumented code hides from GCC which values are set. Its manual, at -fsanitize, speaks of
    # such false alarms and advises against -Werror there, which the asan preset leaves to the other
    # build of the same files.
    target_compile_options(cifarpipe_settings INTERFACE -Wno-maybe-uninitialized)
  endif()
  target_link_options(cifarpipe_settings INTERFACE -fsanitize=${CIFARPIPE_SANITIZE})
endif()
add_link_options(-Wl,--build-id=sha1 -Wl,--as-needed)
