#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

#include "frontier/records.hpp"
#include "frontier/statistics.hpp"

namespace frontier {

/// All samples of one task and length under one method and budget.
struct ReportRow {
  std::string task;
  std::int64_t length = 0;
  std::string method;
  double budget = 1.0;
  std::string arguments;
  Summary strict;
  Summary compat;  // without the samples that the published pipeline drops
  std::int64_t unparsed = 0;
  double density = 0.0;  // means from here on
  double prompt_tokens = 0.0;
  double prefill_seconds = 0.0;
  double decode_seconds = 0.0;
  double output_tokens = 0.0;
  std::int64_t most_output_tokens = 0;
};

/// In the order of length, task, then as methods and budgets first appear in the records.
std::vector<ReportRow> rows_of(std::vector<Record> const& records);

void write_table(std::ostream& out, std::vector<ReportRow> const& rows);

/// What every row shares, for the summary.
struct Provenance {
  std::string model;
  std::int64_t parameters = 0;
  std::uint64_t seed = 0;
};

/// One line per row, with a heading. Throws std::runtime_error when the file cannot be written.
void write_summary(std::filesystem::path const& file, std::vector<ReportRow> const& rows, Provenance const& provenance);

/// Writes frontier.gp into the folder, a gnuplot script with its data, and has gnuplot draw frontier.svg and
/// frontier.png there: score against density, a panel for every length and task, dense as a line. False when gnuplot
/// could not.
bool draw_frontier(std::filesystem::path const& folder, std::vector<ReportRow> const& rows);

}  // namespace frontier
