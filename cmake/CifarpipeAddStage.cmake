# cifarpipe_add_stage(NAME SOURCES file... [LINK target...])
# Builds NAME.stage.so, a plugin, into the folder where cifarpipe looks for plugins.
function(cifarpipe_add_stage name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name}_stage MODULE ${arg_SOURCES})
  set_target_properties(${name}_stage PROPERTIES PREFIX "" OUTPUT_NAME ${name} SUFFIX .stage.so
    LIBRARY_OUTPUT_DIRECTORY ${CIFARPIPE_PLUGIN_DIR} BUILD_RPATH "" SKIP_BUILD_RPATH ON)
  target_link_libraries(${name}_stage PRIVATE cifarpipe_core cifarpipe_settings ${arg_LINK})
endfunction()
