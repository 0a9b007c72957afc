#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

#include "frontier/records.hpp"
#include "frontier/statistics.hpp"

namespace frontier {

/// All samples of one model, task, length and turn under one method and budget.
struct ReportRow {
  std::string model;
  std::int64_t parameters = 0;
  std::string form;
  int turns = 1;
  int turn = 1;
  std::string phase;
  std::string task;
  std::int64_t length = 0;
  std::string method;
  double budget = 1.0;
  std::string arguments;
  std::vector<std::pair<std::uint64_t, std::int64_t>> samples;  // seed and index of each score
  std::vector<double> scores;                                   // strict, in the order of `samples`, which ascends
  lacuna::ModelDims dims{};
  Summary strict;
  Summary compat;  // without the samples that the published pipeline drops
  std::int64_t unparsed = 0;
  double density = 0.0;  // means from here on
  double prompt_tokens = 0.0;
  double prefill_seconds = 0.0;
  double decode_seconds = 0.0;
  double attend_seconds = 0.0;
  double peak_bytes = 0.0;
  Cost cost;
  double output_tokens = 0.0;
  std::int64_t most_output_tokens = 0;
};

/// By model, the smallest first, length, task, method (the baseline first) and budget, ascending, whatever the order of
/// the records.
std::vector<ReportRow> rows_of(std::vector<Record> const& records);

void write_table(std::ostream& out, std::vector<ReportRow> const& rows);

/// One line per row, with a heading. Throws std::runtime_error when the file cannot be written.
void write_summary(std::filesystem::path const& file, std::vector<ReportRow> const& rows);

}  // namespace frontier
