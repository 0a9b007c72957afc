#pragma once

#include <cstdint>
#include <functional>
#include <lacuna/lacuna.hpp>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontier/method_run.hpp"

namespace frontier {

/// What a method's parameters depend on.
struct Setup {
  transformer::Config const* config = nullptr;
  std::int64_t length = 0;           // most tokens that the prompts may have: sets units, windows and sinks
  bool long_tail = false;            // whether the question after the context needs the longer of the two windows
  double budget = 1.0;               // nominal share of the dense work, in (0, 1]
  std::int64_t size = 0;             // what Method::sizes_for said, where the method has it
  std::int64_t capacity_tokens = 0;  // prompt and answer
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
  /// `prompt` is null where the run reads the prompt itself.
  std::function<std::unique_ptr<MethodRun>(lacuna::Cpu, Setup const&, Prompt const& prompt)> start = {};
  /// The parameters in words, for the records.
  std::function<std::string(Setup const&)> describe = {};

  bool reads_prompt() const { return sparse && moment == lacuna::Moment::prefill; }
};

/// Dense first, then every method that exists.
std::vector<Method> const& all_methods();

/// Null when there is no method of that name.
Method const* find_method(std::string_view name);

/// Queries of the prompt's end that methods look at when they judge by the last queries.
std::int64_t window_for(Setup const& setup);

/// What a Prompt must keep: all of its queries, since some methods score or are measured by each.
std::int64_t queries_to_keep(Setup const& setup);

}  // namespace frontier
