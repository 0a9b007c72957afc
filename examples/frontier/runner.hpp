#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <stdexcept>
#include <string>
#include <vector>

#include "frontier/records.hpp"

namespace frontier {

/// What was asked for cannot be run. The message is one line for the person who asked.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What to run. An empty list of tasks or methods means everything that exists.
struct Settings {
  std::filesystem::path model = "examples/frontier/models/small";
  std::filesystem::path out = "out";
  std::vector<std::string> tasks = {"niah", "vt", "story_retrieval"};  // those that the bundled model was trained for
  std::vector<std::int64_t> lengths = {2048, 4096};                    // most tokens of a prompt
  std::vector<std::string> methods = {"dense", "vertical-slash", "snapkv", "quest"};
  std::vector<double> budgets = {1.0 / 20, 1.0 / 10, 1.0 / 5, 1.0 / 2};  // nominal shares of the dense work, in (0, 1]
  std::vector<std::int64_t> samples = {10, 4};                           // one for all lengths, or one for each
  std::uint64_t seed = 43;
  std::int64_t max_output_tokens = 192;
  int threads = 0;     // 0: as many as the machine has
  bool fresh = false;  // forget earlier records
};

/// "1/20" or "0.05". Throws UsageError unless it lies in (0, 1].
double parse_budget(std::string const& text);
/// The shorter of the two ways to write it.
std::string budget_text(double budget);

struct Evaluation {
  std::vector<Record> records;
  std::int64_t parameters = 0;  // of the model
};

/// Takes the model through tasks x lengths x samples under methods x budgets and returns a record of each, in that
/// order. Records that settings.out holds already are kept, not computed again. The prompt is read once for all methods
/// that leave it dense, and all sequences of a sample are continued side by side. Progress and messages go to
/// `messages`. Throws UsageError before any work, std::runtime_error when a file or the model fails.
Evaluation run(Settings const& settings, std::ostream& messages, bool terminal);

}  // namespace frontier
