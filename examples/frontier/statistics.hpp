#pragma once

#include <cstdint>
#include <span>

namespace frontier {

/// Mean and spread of the scores of one configuration. No scores: everything is 0.
struct Summary {
  std::int64_t count = 0;
  double mean = 0.0;
  double variance = 0.0;  // unbiased, divisor count - 1; 0 for fewer than two scores

  double standard_error() const;
};

Summary summarise(std::span<double const> scores);

}  // namespace frontier
