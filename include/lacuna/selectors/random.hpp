#pragma once

#include <cstdint>

#include "lacuna/selectors/selector.hpp"

namespace lacuna {

/// A control: every unit is as promising as any other. Same seed, same choice, whoever scores; every head and row draws
/// its own.
struct RandomSelector {
  std::uint64_t seed = 0;

  template <class U>
  Status check(U const&, Shape const&, std::int64_t) const {
    return {};
  }
  /// As the attention selectors choose: per KV head in the cache, per query head in the prompt.
  template <class U>
  std::int64_t heads(U const&, Shape const& shape) const {
    return U::moment == Moment::prefill ? shape.heads_q : shape.heads_kv;
  }
  template <class U>
  bool can_judge(U const&, Shape const&) const {
    return true;
  }
  template <class U>
  void reserve(Cpu, U const&, Shape const&, Workspace&) const {}

  template <class U, Storage T>
  Status score(Cpu exec, U const&, Problem<T> const&, Workspace, Scores scores) const {
    exec.for_work(scores.count() * 8).each(scores.extent(0), [&](std::int64_t head, int) {
      for (std::int64_t row = 0; row < scores.extent(1); ++row)
        for (std::int64_t unit = 0; unit < scores.extent(2); ++unit) scores(head, row, unit) = draw(head, row, unit);
    });
    return {};
  }

  template <class U, Storage T>
    requires StreamedUnit<U> Status prepare(Cpu, U const&, Problem<T> const&, Workspace)
  const { return {}; }
  template <class U, Storage T>
  Status score(Cpu, U const&, Problem<T> const&, Workspace, RowChunk const& chunk, Scores scores) const {
    for (std::int64_t row = 0; row < chunk.rows; ++row)
      for (std::int64_t unit = 0; unit < scores.extent(2); ++unit)
        scores(0, row, unit) = draw(chunk.head, chunk.first_row + row, unit);
    return {};
  }

 private:
  /// In [0, 1), from the bits of SplitMix64.
  float draw(std::int64_t head, std::int64_t row, std::int64_t unit) const {
    std::uint64_t z = seed;
    for (std::int64_t part : {head, row, unit}) {
      z += 0x9e3779b97f4a7c15ULL * (static_cast<std::uint64_t>(part) + 1);
      z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
      z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
      z ^= z >> 31U;
    }
    return static_cast<float>(z >> 40U) * 0x1p-24F;
  }
};

}  // namespace lacuna
