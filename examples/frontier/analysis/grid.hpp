#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "frontier/report.hpp"

namespace frontier {

/// Which rows an analysis is about; what is empty or 0 may be anything, but niah_words is asked for by its name alone.
struct Where {
  std::string model = {};
  std::string task = {};
  std::int64_t length = 0;
  std::string method = {};
  int turn = 1;
  int turns = 1;

  bool holds(ReportRow const& row) const;
};

/// The rows of all configurations, and the ways in which analyses look at them. Shares of the dense work are densities,
/// 1 - density is sparsity, 1 / budget is compression.
class Grid {
 public:
  explicit Grid(std::vector<ReportRow> rows) : rows_(std::move(rows)) {}
  explicit Grid(std::vector<Record> const& records) : Grid(rows_of(records)) {}

  std::vector<ReportRow> const& rows() const { return rows_; }
  std::vector<ReportRow const*> select(Where const& where) const;
  /// Null when it was not run.
  ReportRow const* dense_of(ReportRow const& sparse) const;
  ReportRow const* dense(Where where) const;

  /// Every model, the smallest first; tasks and methods in the order of the records; lengths ascending.
  std::vector<std::string> models() const;
  std::vector<std::string> tasks(Where const& where = {}) const;
  std::vector<std::string> methods(std::string const& phase = {}) const;
  std::vector<std::int64_t> lengths(Where const& where = {}) const;
  /// Nominal budgets of a method, descending.
  std::vector<double> budgets(Where const& where) const;

  /// Score and variance of the mean at a density: on the broken line through what was measured, dense at density 1
  /// included; nothing below the smallest measured density, but that a tenth below it counts as there: budgets are
  /// met to a tenth.
  struct Value {
    double mean = 0.0;
    double variance_of_mean = 0.0;
  };
  std::optional<Value> at_density(Where const& where, double density) const;

 private:
  std::vector<ReportRow> rows_;
};

/// Scores of both rows for the samples that both have, in the same order.
struct Paired {
  std::vector<double> first;
  std::vector<double> second;
};
Paired pair_up(ReportRow const& first, ReportRow const& second);

}  // namespace frontier
