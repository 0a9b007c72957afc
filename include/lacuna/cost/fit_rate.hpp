#pragma once

#include <cstdint>
#include <span>

#include "lacuna/cost/time_model.hpp"

namespace lacuna {

/// A call that was timed, and what it computed and moved.
struct TimedWork {
  Work work{};
  double ms = 0.0;  // above 0
};

/// What a kind of call is held to be limited by.
enum class RateOf : std::uint8_t { flops, bytes };

/// The fixed time and the rate whose predictions of these calls are least wrong: the least sum of squares of
/// (predicted / measured - 1), neither below zero. Where all calls do the same work the fixed time cannot be told from
/// the rest, and is 0: time at least two lengths. No calls take no time.
constexpr StageRate fit_rate(std::span<TimedWork const> calls, RateOf limit) {
  double ones = 0.0, mixed = 0.0, squares = 0.0, fixed_side = 0.0, work_side = 0.0;  // the normal equations
  for (TimedWork const& call : calls) {
    double const one = 1.0 / call.ms;
    double const work = (limit == RateOf::flops ? call.work.flops / 1e9 : call.work.bytes / 1e6) / call.ms;
    ones += one * one, mixed += one * work, squares += work * work, fixed_side += one, work_side += work;
  }
  if (squares == 0.0) return {.fixed_ms = ones == 0.0 ? 0.0 : fixed_side / ones};
  double const determinant = ones * squares - mixed * mixed;
  double fixed = 0.0, each = work_side / squares;
  if (determinant > 1e-9 * ones * squares) {
    double const both_fixed = (fixed_side * squares - work_side * mixed) / determinant;
    double const both_each = (work_side * ones - fixed_side * mixed) / determinant;
    if (both_each <= 0.0) return {.fixed_ms = fixed_side / ones};
    if (both_fixed > 0.0) fixed = both_fixed, each = both_each;
  }
  return limit == RateOf::flops ? StageRate{.fixed_ms = fixed, .tflops = 1.0 / each}
                                : StageRate{.fixed_ms = fixed, .gbytes_per_s = 1.0 / each};
}

}  // namespace lacuna
