// Catch2 with a main of its own: without a device there is nothing to run, which CTest knows as 77.
#define CATCH_CONFIG_RUNNER
#include <cuda_runtime_api.h>

#include <cstdio>

#include "support/catch.hpp"

int main(int argc, char** argv) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("gpu: skipped, there is no CUDA device");
    return 77;
  }
  return Catch::Session().run(argc, argv);
}
