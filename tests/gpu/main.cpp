// Catch2 with a main of its own: without a device there is nothing to run, which CTest knows as 77.
#define CATCH_CONFIG_RUNNER
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "lacuna/kernels/cuda/path.cuh"
#include "support/catch.hpp"

/// LACUNA_CUDA_PATH=generic: kernels that choose by themselves take the generic path.
int main(int argc, char** argv) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("gpu: skipped, there is no CUDA device");
    return 77;
  }
  if (char const* const wanted = std::getenv("LACUNA_CUDA_PATH")) {
    if (std::string_view(wanted) != "generic") {
      std::printf("LACUNA_CUDA_PATH: no path is called %s\n", wanted);
      return 1;
    }
    lacuna::cuda::use_path(lacuna::cuda::Path::generic);
  }
  return Catch::Session().run(argc, argv);
}
