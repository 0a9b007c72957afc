#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "lacuna/core/config.hpp"

#if LACUNA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace lacuna {

/// Where and by whom the work is done: the calling thread, or the caller's own pool behind one function pointer.
struct Cpu {
  using Body = void (*)(void* context, std::int64_t item, int worker);
  /// Calls body(context, item, worker) once for every item in [0, items) and returns when all calls have returned.
  /// `worker` is in [0, workers) and no two calls with the same worker overlap. Null: the calling thread does it all.
  void (*parallel_for)(void* pool, std::int64_t items, void* context, Body body) = nullptr;
  void* pool = nullptr;
  int workers = 1;

  /// Runs f(item, worker) for every item. Allocates nothing; f must not throw.
  template <class F>
  void each(std::int64_t items, F&& f) const {
    if (parallel_for == nullptr || items <= 1) {
      for (std::int64_t item = 0; item < items; ++item) f(item, 0);
      return;
    }
    using Callable = std::remove_reference_t<F>;
    parallel_for(pool, items, &f, [](void* context, std::int64_t item, int worker) {
      (*static_cast<Callable*>(context))(item, worker);
    });
  }

  /// This, or the calling thread alone when so few multiply-adds are not worth waking the others.
  constexpr Cpu for_work(std::int64_t multiply_adds) const {
    constexpr std::int64_t kWorthWaking = 1 << 18;  // about 20 us of one core
    return multiply_adds < kWorthWaking ? Cpu{nullptr, nullptr, 1} : *this;
  }
};

#if LACUNA_CUDA
/// Work is launched on the caller's stream and on nothing else: no allocation, no synchronisation, no host read of
/// what the device computed, so that every call can be captured in a graph.
struct Cuda {
  cudaStream_t stream;
};

template <class E>
concept Exec = std::same_as<E, Cpu> || std::same_as<E, Cuda>;
#else
template <class E>
concept Exec = std::same_as<E, Cpu>;
#endif

}  // namespace lacuna
