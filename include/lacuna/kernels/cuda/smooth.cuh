#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/candidates.cuh"
#include "lacuna/kernels/smooth.hpp"

namespace lacuna::cuda {

/// A thread per score. Reads each score `width` times, out of L1 but for the first, and writes it once.
template <bool Highest>
struct Smooth {
  Entries<float, 3> from, to;
  Entries<std::int32_t, 2> candidates;
  std::int64_t kinds, units;
  std::int32_t width;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const choice = item / units / kinds, kind = item / units % kinds;
    auto const unit = static_cast<std::int32_t>(item % units), count = candidates(choice, kind);
    if (unit >= count) return;
    float const* const row = &from(choice, kind, 0);
    std::int32_t const reach = width / 2, first = max(unit - reach, 0);
    std::int32_t const last = unit < count - reach ? unit + reach : count - 1;
    float answer;
    if constexpr (Highest) {
      answer = row[unit];
      for (std::int32_t i = first; i <= last; ++i)
        if (row[i] > answer || row[i] != row[i]) answer = row[i];
    } else {
      answer = 0.0F;
      for (std::int32_t i = first; i <= last; ++i) answer += row[i];
      answer /= static_cast<float>(width);
    }
    to(choice, kind, unit) = answer;
  }
};

}  // namespace lacuna::cuda

namespace lacuna {

inline Status smooth(Cuda exec, SmoothArgs const& args) {
  if (Status s = args.check(); !s) return s;
  auto const run = [&]<bool Highest>() {
    return cuda::launch_each(exec, args.from.count(),
                             cuda::Smooth<Highest>{cuda::Entries<float, 3>(args.from), cuda::Entries<float, 3>(args.to),
                                                   cuda::Entries<std::int32_t, 2>(args.candidates), args.from.extent(1),
                                                   args.from.extent(2), static_cast<std::int32_t>(args.width)});
  };
  return args.highest ? run.template operator()<true>() : run.template operator()<false>();
}

}  // namespace lacuna
