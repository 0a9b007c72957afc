#pragma once

#include <cstdint>

#include "lacuna/selectors/selector.hpp"

namespace lacuna {

/// A control: every unit is as promising as any other. Same seed, same choice, whoever scores; every head and row draws
/// its own.
struct RandomSelector {
  static constexpr bool judges_groups = true;

  std::uint64_t seed = 0;

  /// As the attention selectors choose: per KV head in the cache, per query head in the prompt.
  template <class U>
  std::int64_t heads(U const&, Shape const& shape) const {
    return U::moment == Moment::prefill ? shape.heads_q : shape.heads_kv;
  }
  template <class U, Storage T>
  Status score(Cpu exec, U const& unit, Problem<T> const& problem, Workspace, Scores scores) const {
    exec.for_work(scores.count() * 8).each(scores.extent(0), [&](std::int64_t head, int) {
      for (std::int64_t row = 0; row < scores.extent(1); ++row)
        for (std::int64_t id = 0; id < scores.extent(2); ++id) scores(head, row, id) = draw(head, row, id);
    });
    if constexpr (requires { unit.hide(problem, scores); }) unit.hide(problem, scores);
    return {};
  }

  template <class U, Storage T>
  Status score(Cpu, U const& unit, Problem<T> const& problem, Workspace, RowChunk const& chunk, Scores scores) const {
    for (std::int64_t row = 0; row < chunk.rows; ++row)
      for (std::int64_t id = 0; id < scores.extent(2); ++id)
        scores(0, row, id) = draw(chunk.head, chunk.first_row + row, id);
    unit.hide(problem, chunk, scores);
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
