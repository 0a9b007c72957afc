#pragma once

#include <limits>
#include <string>
#include <vector>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/index/scores.hpp"
#include "support/memory.hpp"

namespace support {

/// Scores of a selector, one vector per head and row, made in exactly the memory that it reserves.
struct ScoreRun {
  std::vector<std::vector<float>> rows;
  std::string complaint;
};

template <class S, class U, class T>
ScoreRun score(S const& selector, U const& unit, lacuna::Problem<T> const& problem, lacuna::Cpu exec = {}) {
  lacuna::Shape const shape = lacuna::shape_of(problem);
  std::int64_t const heads = lacuna::heads_of(selector, unit, shape), units = unit.candidates(shape.len_k);
  std::vector<float> memory(static_cast<std::size_t>(heads * U::rows * units), std::numeric_limits<float>::quiet_NaN());
  ScoreRun run;
  lacuna::Workspace counting;
  lacuna::reserve_scoring(exec, selector, unit, shape, counting);
  GuardedMemory scratch(counting.used_bytes());
  run.complaint = selector
                      .score(exec, unit, problem, scratch.workspace(),
                             lacuna::dense_view<float, 3>(memory.data(), {heads, U::rows, units}))
                      .message;
  if (!scratch.guards_untouched()) run.complaint = "wrote past its scratch";
  for (std::int64_t row = 0; row < heads * U::rows; ++row)
    run.rows.emplace_back(memory.begin() + row * units, memory.begin() + (row + 1) * units);
  return run;
}

}  // namespace support
