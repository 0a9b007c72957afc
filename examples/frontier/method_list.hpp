#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "frontier/methods.hpp"

// What the lists of methods share: parameters by length, and the way from a density to a parameter.
namespace frontier {

/// The published settings are for contexts of 16K and more. Below that everything shrinks, so that what is always kept
/// stays well under the smallest budget.
struct Scaled {
  std::int64_t unit_tokens;  // page, and tile of diagonals
  std::int64_t recent_diagonals;
  std::int64_t recent_tokens;  // of the evicting methods
  std::int64_t smoothing;
  std::int64_t window;
  std::int64_t long_window;
};

inline constexpr std::int64_t kSinkTokens = 4;

Scaled scaled_to(std::int64_t length);

/// Calls f with the unit size of this length as a compile-time number.
template <class F>
auto with_unit(Setup const& setup, F&& f) {
  return scaled_to(setup.length).unit_tokens == 8 ? f(std::integral_constant<int, 8>{})
                                                  : f(std::integral_constant<int, 16>{});
}

inline std::int64_t share_of(Setup const& setup, std::int64_t tokens) {
  return std::clamp<std::int64_t>(lacuna::snap_kv_capacity(tokens, setup.budget), 1, tokens);
}

/// A share in thousandths, as a parameter that can be searched for.
constexpr double share(std::int64_t thousandths) { return static_cast<double>(thousandths) / 1000.0; }

using ParameterRange = std::pair<std::int64_t, std::int64_t>;

/// Parameters at which measured(parameter), which must not decrease, comes nearest to each budget.
inline std::vector<std::int64_t> solve_budgets(std::span<double const> budgets, ParameterRange range,
                                               std::function<double(std::int64_t)> const& measured) {
  std::vector<std::int64_t> parameters;
  for (double budget : budgets)
    parameters.push_back(lacuna::solve_for_density(budget, range.first, range.second, measured).parameter);
  return parameters;
}

/// Dense first is the caller's business; these are in the order of docs/evaluation.md.
std::vector<Method> prefill_methods();
std::vector<Method> cache_methods();

}  // namespace frontier
