#pragma once

#include <cstdint>
#include <functional>
#include <lacuna/lacuna.hpp>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontier/cost.hpp"
#include "frontier/method_run.hpp"

namespace frontier {

/// What may be set apart from the budget, for ablations; 0 leaves a setting to the length of the prompt.
struct Tuning {
  std::int64_t unit = 0;       // tokens of a page, a block, or a tile of diagonals
  std::int64_t window = 0;     // last queries that the prompt is judged by
  std::int64_t smoothing = 0;  // width, of the evicting methods
  std::int64_t recent = 0;     // tokens that the evicting methods always keep
  std::int64_t floor = 0;      // what every head is sure of: tokens of flexprefill, percent of the mean of ada-snapkv
};

/// What a method's parameters depend on.
struct Setup {
  transformer::Config const* config = nullptr;
  std::int64_t length = 0;           // most tokens that the prompts may have: sets units, windows and sinks
  bool long_tail = false;            // whether the question after the context needs the longer of the two windows
  double budget = 1.0;               // nominal share of the dense work, in (0, 1]
  std::int64_t size = 0;             // what Method::sizes_for said, where the method has it
  std::int64_t capacity_tokens = 0;  // prompt and answer
  Tuning tuning = {};
};

/// A prompt that was read densely. Methods that leave the prompt alone share it.
using Prompt = std::shared_ptr<transformer::DenseAttention>;

/// A method of the library, ready to run on sequences; its compile-time choices are made inside.
struct Method {
  std::string name;
  lacuna::Moment moment = lacuna::Moment::prefill;
  bool sparse = true;  // false: the baseline, which ignores the budget
  /// Empty, or the parameters at which the method keeps these nominal shares of the example: for methods whose density
  /// only shows once they have chosen.
  std::function<std::vector<std::int64_t>(lacuna::Cpu, Setup const&, std::span<double const> budgets,
                                          transformer::DenseAttention const& example)>
      sizes_for = {};
  bool sizes_hold = false;  // for every text: what sizes_for finds need not be tried
  /// `prompt` is null where the run reads the prompt itself.
  std::function<std::unique_ptr<MethodRun>(lacuna::Cpu, Setup const&, Prompt const& prompt)> start = {};
  /// The parameters in words, for the records.
  std::function<std::string(Setup const&)> describe = {};
  Estimator estimator = Estimator::none;  // what the choice costs
  double kv_bytes = 2.0;                  // of a cached element, as modelled

  bool reads_prompt() const { return sparse && moment == lacuna::Moment::prefill; }
};

/// Dense first, then every method that exists.
std::vector<Method> const& all_methods();

/// Null when there is no method of that name.
Method const* find_method(std::string_view name);

/// A method, and what of it was set otherwise.
struct Variant {
  std::string name;  // as asked for
  Method const* method = nullptr;
  Tuning tuning = {};
};

/// "quest", or "quest:unit=32", with commas between several settings replaced by colons. Throws std::invalid_argument
/// saying what there is.
Variant parse_variant(std::string const& text);

/// What the modelled cost of a run depends on.
CostInputs cost_inputs(Setup const& setup);

/// Queries of the prompt's end that methods look at when they judge by the last queries.
std::int64_t window_for(Setup const& setup);

/// What a Prompt must keep: all of its queries, since some methods score or are measured by each.
std::int64_t queries_to_keep(Setup const& setup);

}  // namespace frontier
