# Defines bitlaw::torch, the CPU part of a LibTorch: libtorch_cpu and libc10 with their headers.
# BITLAW_LIBTORCH (CMake or environment variable) names a folder that holds include/ and lib/;
# without it, the one that launch/setup.sh put under .deps is used.
set(BITLAW_LIBTORCH "$ENV{BITLAW_LIBTORCH}" CACHE PATH "LibTorch folder with include/ and lib/")
set(_torch_dir "${BITLAW_LIBTORCH}")
if(NOT _torch_dir)
  set(_torch_dir "${PROJECT_SOURCE_DIR}/.deps/libtorch/torch")
endif()
foreach(_needed include/ATen/ATen.h lib/libtorch_cpu.so lib/libc10.so)
  if(NOT EXISTS "${_torch_dir}/${_needed}")
    message(FATAL_ERROR "LibTorch: ${_torch_dir}/${_needed} is missing [tensors and autograd come from it]; "
                        "run launch/setup.sh, or set BITLAW_LIBTORCH to a LibTorch folder")
  endif()
endforeach()
file(STRINGS "${_torch_dir}/include/torch/headeronly/version.h" _version_lines REGEX "TORCH_VERSION_(MAJOR|MINOR) ")
string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*" "\\1.\\2" BITLAW_TORCH_VERSION "${_version_lines}")
message(STATUS "LibTorch ${BITLAW_TORCH_VERSION} in ${_torch_dir}")

find_package(OpenMP REQUIRED COMPONENTS CXX)
add_library(bitlaw_torch INTERFACE)
add_library(bitlaw::torch ALIAS bitlaw_torch)
target_include_directories(bitlaw_torch SYSTEM INTERFACE
  "${_torch_dir}/include" "${_torch_dir}/include/torch/csrc/api/include")
# at::parallel_for is OpenMP inside LibTorch's headers. Most LibTorches bring a libgomp of their own: with it, and not
# the compiler's, there is one OpenMP runtime in the process.
target_compile_options(bitlaw_torch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${OpenMP_CXX_FLAGS}>)
set(_openmp OpenMP::OpenMP_CXX)
if(EXISTS "${_torch_dir}/lib/libgomp.so.1")
  set(_openmp "${_torch_dir}/lib/libgomp.so.1")
endif()
target_link_libraries(bitlaw_torch INTERFACE
  "${_torch_dir}/lib/libtorch_cpu.so" "${_torch_dir}/lib/libc10.so" "${_openmp}")
# A CUDA build of libtorch_cpu.so refers to symbols of libraries that a CPU program never loads.
target_link_options(bitlaw_torch INTERFACE "-Wl,--unresolved-symbols=ignore-in-shared-libs")
set(BITLAW_TORCH_LIB_DIR "${_torch_dir}/lib")
