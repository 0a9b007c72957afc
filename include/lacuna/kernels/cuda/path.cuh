#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdint>

namespace lacuna::cuda {

/// Which instructions a kernel may be made of.
enum class Path : std::uint8_t {
  automatic,  // Hopper's where the device has them, they were compiled (sm_90a) and the shape suits them
  generic,    // sm_80: cp.async and mma.sync
  hopper,     // Hopper's or a Status that says why not
};

namespace detail {

inline std::atomic<Path>& chosen_path() {
  static std::atomic<Path> chosen{Path::automatic};
  return chosen;
}

}  // namespace detail

inline Path path() { return detail::chosen_path().load(std::memory_order_relaxed); }

/// For tests and measurements: every later launch of the process takes this path. Results of two paths differ by
/// rounding.
inline void use_path(Path path) { detail::chosen_path().store(path, std::memory_order_relaxed); }

/// Whether a kernel's body for sm_90a was compiled and this device runs it. Elsewhere its body is empty, which shows in
/// the registers it asks for. Nothing is launched.
template <class... Parameters>
bool has_hopper_body(void (*kernel)(Parameters...)) {
  constexpr int kMoreThanAnEmptyBody = 64;
  cudaFuncAttributes attributes{};
  if (cudaFuncGetAttributes(&attributes, kernel) != cudaSuccess) {
    (void)cudaGetLastError();
    return false;
  }
  return attributes.numRegs > kMoreThanAnEmptyBody;
}

}  // namespace lacuna::cuda
