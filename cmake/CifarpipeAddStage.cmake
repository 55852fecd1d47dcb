# cifarpipe_add_stage(NAME SOURCES file... [LINK target...] [OUTPUT_DIRECTORY folder])
#
# Builds the plugin NAME.stage.so, inside cifarpipe's tree and, after find_package(cifarpipe),
# outside of it. The target is NAME_stage; its property CIFARPIPE_PLUGIN_FILE is the plugin's path:
# by default in the folder CIFARPIPE_PLUGIN_DIR (outside: <build folder>/plugins).
#
# What the linker makes lies beside the objects. Then the worker is asked to describe it, and the
# plugin proper is that file with the answer in a section, renamed into place in one step: where
# plugins are looked for there is never a half-made one.
include(${CMAKE_CURRENT_LIST_DIR}/CifarpipePrefixMaps.cmake)
set(CIFARPIPE_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_DIR}/CifarpipeEmbed.cmake CACHE INTERNAL "")

function(cifarpipe_add_stage name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "OUTPUT_DIRECTORY" "SOURCES;LINK")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_SOURCES)
    message(FATAL_ERROR "Usage: cifarpipe_add_stage(NAME SOURCES file... [LINK target...] "
            "[OUTPUT_DIRECTORY folder])")
  endif()
  set(folder ${CMAKE_BINARY_DIR}/plugins)
  if(CIFARPIPE_PLUGIN_DIR)
    set(folder ${CIFARPIPE_PLUGIN_DIR})
  endif()
  if(arg_OUTPUT_DIRECTORY)
    set(folder ${arg_OUTPUT_DIRECTORY})
  endif()
  set(target ${name}_stage)
  set(plugin ${folder}/${name}.stage.so)

  add_library(${target} MODULE ${arg_SOURCES})
  # No RPATH at all: libcifarpipe and libtorch are the worker's, which has them before a plugin
  # comes, and a path in the file would be one more thing that differs between two machines.
  set_target_properties(${target} PROPERTIES
    PREFIX "" OUTPUT_NAME ${name} SUFFIX .linked.so
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}
    SKIP_BUILD_RPATH ON
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    CIFARPIPE_PLUGIN_FILE ${plugin})
  target_link_libraries(${target} PRIVATE cifarpipe::sdk ${arg_LINK})
  target_link_options(${target} PRIVATE -Wl,--build-id=sha1 -Wl,--as-needed)
  # A symbol that is missing is found here and not by whoever loads the plugin (a sanitizer's own
  # are resolved only then).
  if(NOT CIFARPIPE_SANITIZE)
    target_link_options(${target} PRIVATE -Wl,-z,defs)
  endif()
  if(TARGET cifarpipe_settings)
    target_link_libraries(${target} PRIVATE cifarpipe_settings)
    if(folder STREQUAL CIFARPIPE_PLUGIN_DIR)
      install(PROGRAMS ${plugin} DESTINATION lib/cifarpipe/plugins)
    endif()
  else()
    cifarpipe_prefix_maps(${target})
  endif()

  add_dependencies(${target} cifarpipe::worker)
  add_custom_command(TARGET ${target} POST_BUILD
    BYPRODUCTS ${plugin}
    COMMAND ${CMAKE_COMMAND} -DWORKER=$<TARGET_FILE:cifarpipe::worker>
            -DLINKED=$<TARGET_FILE:${target}> -DPLUGIN=${plugin} -DOBJCOPY=${CMAKE_OBJCOPY}
            -P ${CIFARPIPE_EMBED_SCRIPT}
    VERBATIM)
endfunction()
