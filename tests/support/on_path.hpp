#pragma once

#include "lacuna/kernels/cuda/path.cuh"

namespace support {

/// While this lives, kernels take the path.
class OnPath {
 public:
  explicit OnPath(lacuna::cuda::Path path) { lacuna::cuda::use_path(path); }
  ~OnPath() { lacuna::cuda::use_path(lacuna::cuda::Path::automatic); }
  OnPath(OnPath const&) = delete;
  OnPath& operator=(OnPath const&) = delete;
};

inline constexpr lacuna::cuda::Path kPaths[] = {lacuna::cuda::Path::automatic, lacuna::cuda::Path::generic};

}  // namespace support
