#pragma once

#include <string>
#include <vector>

#include "frontier/analysis/grid.hpp"
#include "frontier/analysis/significance.hpp"

namespace frontier {

/// How far one task of one model and length can be compressed by one method before its score drops significantly.
struct Retention {
  std::string model;
  std::string task;
  std::int64_t length = 0;
  std::string method;
  double dense = 0.0;  // mean score
  std::int64_t count = 0;
  MaximumCompression most;
};

/// One for each task that has the method and dense on the same samples. Compression is 1 / nominal budget.
std::vector<Retention> retention(Grid const& grid, Where const& where);

/// Over informative tasks: mean, standard deviation, and the task that gives way first.
struct RetentionSummary {
  std::int64_t informative = 0;
  std::int64_t uninformative = 0;
  double mean = 0.0;
  double deviation = 0.0;
  double least = 0.0;
  std::string least_task = {};
};
RetentionSummary summarise(std::vector<Retention> const& tasks);

/// Two methods (or two settings of one) at the same nominal budgets, on the same samples.
struct Comparison {
  std::string task;  // empty: all of them
  double budget = 0.0;
  double first_density = 0.0;  // measured, means over cells
  double second_density = 0.0;
  double difference = 0.0;  // mean of second - first
  double standard_error = 0.0;
  double p_lower = 1.0;   // one-sided, that second is lower
  double p_higher = 1.0;  // that second is higher
  std::int64_t count = 0;
};
/// One for each budget and task that both have, then one for each budget over all tasks. `where.method` is ignored.
std::vector<Comparison> compare(Grid const& grid, Where where, std::string const& first, std::string const& second);

}  // namespace frontier
