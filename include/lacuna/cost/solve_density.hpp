#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

namespace lacuna {

// From a target density, the share of dense work or of tokens that may stay, to the parameter of a method.

/// A parameter and the density that it gave when it was measured.
struct DensitySolution {
  std::int64_t parameter = 0;
  double density = 1.0;
};

/// The parameter in [low, high] whose measure(parameter) is nearest to `target`, by bisection; the first one visited if
/// two are equally near. measure must not decrease, and is called about log2(high - low) times, never twice for the
/// same parameter, so it may run a calibration set. Needs low <= high.
///
/// FlexPrefill has two parameters: solve for its coverage in thousandths with the floor at its default, and when even
/// coverage 0 is too dense, keep that and solve for the floor. Vertical-Slash: columns = diagonals, within
/// vertical_slash_bracket().
template <class Measure>
constexpr DensitySolution solve_for_density(double target, std::int64_t low, std::int64_t high, Measure&& measure) {
  DensitySolution best;
  double best_error = -1.0;
  while (low <= high) {
    std::int64_t const middle = low + (high - low) / 2;
    double const density = measure(middle);
    double const error = density < target ? target - density : density - target;
    if (best_error < 0.0 || error < best_error) best = {middle, density}, best_error = error;
    if (density < target)
      low = middle + 1;
    else
      high = middle - 1;
  }
  return best;
}

/// Share of the causal blocks that Block-Sparse keeps: row m of `blocks` keeps min(m + 1, top_k). A block on the
/// diagonal counts whole. 1 for no blocks.
constexpr double block_sparse_density(std::int64_t blocks, std::int64_t top_k) {
  if (blocks < 1) return 1.0;
  auto const n = static_cast<double>(blocks), k = static_cast<double>(std::min(top_k, blocks));
  return (k * (k + 1.0) / 2.0 + (n - k) * k) / (n * (n + 1.0) / 2.0);
}

/// Key blocks per query block for a density of blocks, at least the 3 that are forced (all, if there are fewer).
constexpr std::int64_t block_sparse_top_k(std::int64_t blocks, double density) {
  std::int64_t const least = std::min<std::int64_t>(3, blocks);
  return solve_for_density(density, least, blocks, [&](std::int64_t k) { return block_sparse_density(blocks, k); })
      .parameter;
}

/// The same in closed form, before rounding and without the least of 3.
inline double block_sparse_top_k_exact(std::int64_t blocks, double density) {
  double const n = static_cast<double>(blocks), edge = 2.0 * n + 1.0;
  return 0.5 * (edge - std::sqrt(edge * edge - 4.0 * density * n * (n + 1.0)));
}

/// Tokens per KV head that SnapKV keeps, and Ada-SnapKV on average: the floor of density times length. The nudge takes
/// 0.29 * 100, a little below 29, for what it means.
constexpr std::int64_t snap_kv_capacity(std::int64_t len, double density) {
  return static_cast<std::int64_t>(density * static_cast<double>(len) + 1e-9);
}

/// Tokens that Quest reads besides the current page: the nearest multiple of the page.
constexpr std::int64_t quest_budget_tokens(std::int64_t len, double density, std::int64_t page_tokens) {
  double const pages = density * static_cast<double>(len) / static_cast<double>(page_tokens);
  return page_tokens * static_cast<std::int64_t>(pages + 0.5);
}

/// Tokens that Quest reads of `len`, the current one included: the budget and the current page; all of them until there
/// are more full pages than the budget has.
constexpr std::int64_t quest_kept_tokens(std::int64_t len, std::int64_t budget_tokens, std::int64_t page_tokens) {
  std::int64_t const full_pages = len < 1 ? 0 : (len - 1) / page_tokens;
  std::int64_t const dropped = full_pages - budget_tokens / page_tokens;
  return dropped < 1 ? len : len - dropped * page_tokens;
}

/// About the least and the most of the causal cells that tiles of 64 for `columns` columns and `diagonals` diagonals
/// can cover in a prompt of `len` tokens, len >> both: diagonals in one run and columns spread evenly, or every
/// diagonal alone and short and all columns at the start. Far apart, so density has to be measured.
struct DensityRange {
  double least = 0.0;
  double most = 1.0;
};
constexpr DensityRange vertical_slash_density_range(std::int64_t len, std::int64_t columns, std::int64_t diagonals) {
  auto const tokens = static_cast<double>(len);
  double const run = static_cast<double>(columns + 128 * ((diagonals + 63 + 63) / 64)) / tokens;
  double const alone = static_cast<double>(2 * columns + 128 * (diagonals - 62)) / tokens;
  return {std::min(run, 1.0), std::min(alone, 1.0)};
}

/// Where columns = diagonals = k has to be looked for: below the first k even isolated diagonals stay under `density`,
/// above the second even one run of them exceeds it. At least the 64 forced diagonals, at most the length.
constexpr std::pair<std::int64_t, std::int64_t> vertical_slash_bracket(std::int64_t len, double density) {
  double const cells = density * static_cast<double>(len);
  auto const least = static_cast<std::int64_t>((cells + 128.0 * 62.0) / 130.0);
  auto const most = static_cast<std::int64_t>(std::max(cells - 126.0, 0.0) / 3.0);
  std::int64_t const low = std::clamp<std::int64_t>(least, 64, std::max<std::int64_t>(len, 64));
  return {low, std::clamp<std::int64_t>(most, low, std::max(len, low))};
}

}  // namespace lacuna
