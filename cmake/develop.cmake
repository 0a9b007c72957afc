# What the project's own programs share, and no user of the headers ever sees.
include(CheckCXXCompilerFlag)
include(CheckLanguage)

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
endif()

# lacuna_develop: the warnings all our own code is clean under.
add_library(lacuna_develop INTERFACE)
target_link_libraries(lacuna_develop INTERFACE lacuna::lacuna)
target_compile_options(lacuna_develop INTERFACE -Wall -Wextra -Wpedantic $<$<BOOL:${LACUNA_WERROR}>:-Werror>)

# lacuna_native: the same, for this very machine. Everything that is linked together takes it from here, because inline
# functions and Eigen's alignment must agree. g++ 12 warns of its own AVX-512 headers (GCC bug 105593).
add_library(lacuna_native INTERFACE)
target_link_libraries(lacuna_native INTERFACE lacuna_develop)
if(LACUNA_NATIVE)
  check_cxx_compiler_flag(-march=native LACUNA_HAS_MARCH_NATIVE)
  if(LACUNA_HAS_MARCH_NATIVE)
    target_compile_options(lacuna_native INTERFACE -march=native)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(lacuna_native INTERFACE -Wno-maybe-uninitialized -Wno-uninitialized)
  endif()
endif()

# Found by itself; without nvcc everything else builds just the same.
if(NOT DEFINED LACUNA_HAVE_CUDA)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(LACUNA_HAVE_CUDA ON CACHE INTERNAL "nvcc was found")
  else()
    set(LACUNA_HAVE_CUDA OFF CACHE INTERNAL "nvcc was not found")
  endif()
endif()
# Real code for both paths of the kernels: 80 has the generic one alone, 90a both.
set(LACUNA_CUDA_ARCHITECTURES "80-real;90a-real" CACHE STRING "What the CUDA tests and benchmarks are compiled for")

add_custom_target(lacuna_format COMMAND ${CMAKE_COMMAND} -D SOURCE_DIR=${PROJECT_SOURCE_DIR} -D MODE=apply
                                        -P ${PROJECT_SOURCE_DIR}/cmake/format.cmake VERBATIM)
find_program(LACUNA_RUN_CLANG_TIDY NAMES run-clang-tidy-14 run-clang-tidy)
if(LACUNA_RUN_CLANG_TIDY)
  add_custom_target(lacuna_tidy COMMAND ${LACUNA_RUN_CLANG_TIDY} -quiet -p ${PROJECT_BINARY_DIR} VERBATIM)
endif()
