#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "frontier/tasks/natural_tasks.hpp"

namespace frontier {

/// What was asked for cannot be run. The message is one line for the person who asked.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A nominal share of the dense work, in (0, 1]: the same at every length, or what a number of tokens is that grows as
/// a power of the length.
struct Budget {
  double share = 1.0;
  double tokens = 0.0;  // at `reference` tokens of context; 0: `share` holds
  double reference = 1.0;
  double exponent = 1.0;

  Budget() = default;
  Budget(double of_dense) : share(of_dense) {}  // a number is a budget

  double at(std::int64_t length) const;
  auto operator<=>(Budget const&) const = default;
};

/// "1/20", "0.05", or "102@2048^0.5": 102 tokens at 2048, as many times more as the square root of the length. Throws
/// UsageError.
Budget parse_budget(std::string const& text);
/// A share in the shorter of the two ways to write it.
std::string budget_text(double share);

/// What to run. An empty list of tasks or methods means everything that exists.
struct Settings {
  std::vector<std::filesystem::path> models = {"examples/frontier/models/nine"};
  std::filesystem::path out = "out";
  std::vector<std::string> tasks = {};
  std::vector<std::int64_t> lengths = {1024};  // most tokens of a prompt
  std::vector<std::string> methods = {};
  std::vector<Budget> budgets = {1.0 / 20, 1.0 / 5};
  std::vector<std::int64_t> samples = {1};  // one for all lengths, or one for each
  std::vector<std::uint64_t> seeds = {43};
  int turns = 1;  // 2: a second question about the same context, for the tasks that have one
  Form form = Form::compact;
  NaturalSettings natural = {};
  double min_fill = 0.95;  // of natural prompts
  std::int64_t max_output_tokens = 192;
  int threads = 0;     // 0: as many as the machine has
  bool fresh = false;  // forget earlier records
};

/// Throws UsageError naming the first thing that cannot be run, before any file is read.
void check(Settings const& settings);

}  // namespace frontier
