# cifarpipe_prefix_maps(TARGET): no absolute path of this project in TARGET's objects, so that the
# same source gives the same build-id in every folder. The last matching map wins. Those with a
# slash at the end make names relative; the relative one is for ccache, which shortens a path
# below CCACHE_BASEDIR to one that starts at the build folder.
function(cifarpipe_prefix_maps target)
  get_target_property(type ${target} TYPE)
  set(scope PRIVATE)
  if(type STREQUAL INTERFACE_LIBRARY)
    set(scope INTERFACE)
  endif()
  file(RELATIVE_PATH up ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR})
  string(REGEX REPLACE "/$" "" up "${up}")
  set(maps ${CMAKE_SOURCE_DIR}=source ${CMAKE_BINARY_DIR}=build
           ${CMAKE_SOURCE_DIR}/= ${CMAKE_BINARY_DIR}/=)
  if(up)
    list(APPEND maps ${up}/=)
  endif()
  list(TRANSFORM maps PREPEND -ffile-prefix-map=)
  target_compile_options(${target} ${scope} ${maps})
endfunction()
