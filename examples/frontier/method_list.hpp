#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <stdexcept>
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
  std::int64_t floor_lines;  // columns, and diagonals, that FlexPrefill's coverage does not go below
};

inline constexpr std::int64_t kSinkTokens = 4;

/// By the length, unless the setup's tuning says otherwise.
Scaled scaled_for(Setup const& setup);

/// Calls f with the unit size of this setup as a compile-time number, one of those named.
template <int First, int... Others, class F>
auto with_one_of(Setup const& setup, F&& f) {
  std::int64_t const unit = scaled_for(setup).unit_tokens;
  if constexpr (sizeof...(Others) > 0) {
    if (unit != First) return with_one_of<Others...>(setup, std::forward<F>(f));
  }
  if (unit != First) throw std::invalid_argument("this method cannot have a unit of " + std::to_string(unit));
  return f(std::integral_constant<int, First>{});
}
template <class F>
auto with_unit(Setup const& setup, F&& f) {
  return with_one_of<8, 16>(setup, std::forward<F>(f));
}
/// For those whose unit is worth varying.
template <class F>
auto with_any_unit(Setup const& setup, F&& f) {
  return with_one_of<8, 16, 32>(setup, std::forward<F>(f));
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
