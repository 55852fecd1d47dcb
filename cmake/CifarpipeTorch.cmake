# cifarpipe::torch from the `torch` folder of a Python wheel, or from a libtorch folder of the same
# layout: CIFARPIPE_TORCH. No find_package(Torch): with a wheel it mixes in Debian's libraries, its
# protobuf and its fmt, and leaves a stray RPATH.
set(CIFARPIPE_TORCH "$ENV{CIFARPIPE_TORCH}" CACHE PATH
    "The folder of libtorch: lib/libtorch_cpu.so and include/ are in it")
set(CIFARPIPE_TORCH_MINIMUM 2.11)

if(NOT CIFARPIPE_TORCH)
  message(FATAL_ERROR "No libtorch. Run ./cifarpipe, which finds or installs it, or set "
          "CIFARPIPE_TORCH to the folder 'torch' of a Python wheel or of a libtorch archive.")
endif()
set(torch_version_header ${CIFARPIPE_TORCH}/include/torch/headeronly/version.h)
if(NOT EXISTS ${CIFARPIPE_TORCH}/lib/libtorch_cpu.so OR NOT EXISTS ${torch_version_header})
  message(FATAL_ERROR "CIFARPIPE_TORCH=${CIFARPIPE_TORCH} holds no libtorch "
          "${CIFARPIPE_TORCH_MINIMUM} or newer: lib/libtorch_cpu.so and "
          "include/torch/headeronly/version.h are expected there.")
endif()
set(CIFARPIPE_TORCH_VERSION "")
foreach(part MAJOR MINOR PATCH)
  file(STRINGS ${torch_version_header} line REGEX "define TORCH_VERSION_${part} ")
  string(REGEX REPLACE ".* ([0-9]+)$" "\\1" number "${line}")
  list(APPEND CIFARPIPE_TORCH_VERSION ${number})
endforeach()
list(JOIN CIFARPIPE_TORCH_VERSION . CIFARPIPE_TORCH_VERSION)
if(CIFARPIPE_TORCH_VERSION VERSION_LESS CIFARPIPE_TORCH_MINIMUM)
  message(FATAL_ERROR "libtorch ${CIFARPIPE_TORCH_VERSION} in ${CIFARPIPE_TORCH} is older than "
          "${CIFARPIPE_TORCH_MINIMUM}.")
endif()

# What exactly it is, for the stamp of plugins: from the wheel's version.py, or from the two files
# in a libtorch archive.
set(CIFARPIPE_TORCH_BUILD ${CIFARPIPE_TORCH_VERSION})
set(CIFARPIPE_TORCH_GIT "")
set(CIFARPIPE_TORCH_CUDA_VERSION "")
if(EXISTS ${CIFARPIPE_TORCH}/version.py)
  file(READ ${CIFARPIPE_TORCH}/version.py text)
  foreach(pair BUILD:__version__ GIT:git_version CUDA_VERSION:cuda)
    string(REGEX MATCH "^([A-Z_]+):(.*)$" _ ${pair})
    set(variable CIFARPIPE_TORCH_${CMAKE_MATCH_1})
    if(text MATCHES "\n${CMAKE_MATCH_2}[^\n=]*= *'([^'\n]*)'")
      set(${variable} ${CMAKE_MATCH_1})
    endif()
  endforeach()
elseif(EXISTS ${CIFARPIPE_TORCH}/build-version AND EXISTS ${CIFARPIPE_TORCH}/build-hash)
  file(STRINGS ${CIFARPIPE_TORCH}/build-version CIFARPIPE_TORCH_BUILD LIMIT_COUNT 1)
  file(STRINGS ${CIFARPIPE_TORCH}/build-hash CIFARPIPE_TORCH_GIT LIMIT_COUNT 1)
  if(CIFARPIPE_TORCH_BUILD MATCHES "\\+cu([0-9]+)$")
    set(CIFARPIPE_TORCH_CUDA_VERSION ${CMAKE_MATCH_1})
  endif()
endif()
message(STATUS "libtorch ${CIFARPIPE_TORCH_BUILD}")
set(CIFARPIPE_TORCH_STAMP
  CIFARPIPE_TORCH_STAMP_VERSION="${CIFARPIPE_TORCH_BUILD}"
  CIFARPIPE_TORCH_STAMP_GIT="${CIFARPIPE_TORCH_GIT}"
  CIFARPIPE_TORCH_STAMP_CUDA="${CIFARPIPE_TORCH_CUDA_VERSION}")

# The wheel's include folder also holds fmt, protobuf and dnnl headers that would shadow Debian's:
# only libtorch's own folders are made visible, through links.
set(torch_include ${CMAKE_BINARY_DIR}/torch-include)
file(MAKE_DIRECTORY ${torch_include})
foreach(folder ATen c10 caffe2 torch)
  file(CREATE_LINK ${CIFARPIPE_TORCH}/include/${folder} ${torch_include}/${folder} SYMBOLIC)
endforeach()

foreach(name c10 torch_cpu)
  add_library(cifarpipe_lib${name} SHARED IMPORTED)
  set_target_properties(cifarpipe_lib${name} PROPERTIES
    IMPORTED_LOCATION ${CIFARPIPE_TORCH}/lib/lib${name}.so)
endforeach()
add_library(cifarpipe_torch INTERFACE)
add_library(cifarpipe::torch ALIAS cifarpipe_torch)
target_include_directories(cifarpipe_torch SYSTEM INTERFACE
  ${torch_include} ${torch_include}/torch/csrc/api/include)
target_compile_definitions(cifarpipe_torch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO
  ${CIFARPIPE_TORCH_STAMP})
# Without the second, g++ names a header by whichever path is shorter, and that depends on where
# the build folder is.
target_compile_options(cifarpipe_torch INTERFACE
  -ffile-prefix-map=${CIFARPIPE_TORCH}/=torch/
  $<$<CXX_COMPILER_ID:GNU>:-fno-canonical-system-headers>)
target_link_libraries(cifarpipe_torch INTERFACE cifarpipe_libtorch_cpu cifarpipe_libc10)

# A CUDA build of libtorch: its libraries are linked too, and CUDA-only code is compiled.
set(CIFARPIPE_CUDA OFF)
if(EXISTS ${CIFARPIPE_TORCH}/lib/libtorch_cuda.so AND
   EXISTS ${CIFARPIPE_TORCH}/include/c10/cuda/impl/cuda_cmake_macros.h)
  set(CIFARPIPE_CUDA ON)
  foreach(name torch c10_cuda torch_cuda)
    add_library(cifarpipe_lib${name} SHARED IMPORTED)
    set_target_properties(cifarpipe_lib${name} PROPERTIES
      IMPORTED_LOCATION ${CIFARPIPE_TORCH}/lib/lib${name}.so)
    target_link_libraries(cifarpipe_torch INTERFACE
      -Wl,--no-as-needed cifarpipe_lib${name} -Wl,--as-needed)
  endforeach()
endif()
