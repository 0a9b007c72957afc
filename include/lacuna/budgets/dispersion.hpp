#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "lacuna/budgets/budget.hpp"
#include "lacuna/budgets/cut.hpp"
#include "lacuna/kernels/share_pool.hpp"

namespace lacuna {

/// How widely a choice's scores are spread, as a number that grows with the units it would take to cover them.
enum class Spread : std::uint8_t {
  entropy,       // e to the entropy of the scores as shares of their sum: n for n even scores, 1 for a single one
  mass_outside,  // the share of the sum that an even budget would leave out
};

/// A pool for all choices of the call, shared by how widely each one's scores are spread: who needs few units to cover
/// its mass leaves them to the others, and the mean stays `tokens`. Scores that are negative, infinite or NaN count
/// as 0, so they should be weights, such as those of WindowAttention. What a choice has no candidates for goes to the
/// others. Online form of the dispersion hypothesis of the Sparse Frontier's open questions; ours.
struct Dispersion {
  std::int64_t tokens = 1024;  // per choice on average
  double floor_share = 0.2;    // of `tokens`, that every choice is sure of; anchored units raise it to what they need
  Spread spread = Spread::entropy;

  template <class U>
  Status check(U const& unit) const {
    return detail::check_pool(unit, tokens, floor_share);
  }

  template <class U>
  std::int64_t limit(U const& unit, int, std::int64_t len) const {
    return detail::pool_limit(unit, tokens, len);
  }
  template <class U>
  std::int64_t mean(U const& unit, int, std::int64_t) const {
    return unit.count(tokens);
  }

  template <class U>
  Status allot(Cpu, U const& unit, Scores scores, Counts counts) const {
    if (Status s = detail::check_counts(scores, counts); !s) return s;
    for (std::int64_t row = 0; row < scores.extent(1); ++row) share_pool(unit.count(tokens), scores, counts, row);
    return {};
  }

#if LACUNA_CUDA
  /// As AdaptiveHeads. Sums are added up in another order than on the CPU.
  template <class U>
  Status allot(Cuda exec, U const& unit, std::int64_t batch, Scores scores, Counts counts, Growth growth = {}) const {
    return lacuna::share_pool(exec, {scores, counts, batch, tokens, unit.tokens(1), floor_share, growth,
                                     spread == Spread::entropy ? PoolRule::entropy : PoolRule::mass_outside});
  }
#endif

 private:
  static double mass_of(float score) { return score > 0.0F && score < kForced ? double{score} : 0.0; }

  double spread_of(float const* scores, std::int64_t count, std::int64_t units) const {
    double total = 0.0, sum = 0.0;
    for (std::int64_t i = 0; i < count; ++i) total += mass_of(scores[i]);
    if (total == 0.0) return 0.0;
    if (spread == Spread::entropy) {
      for (std::int64_t i = 0; i < count; ++i)
        if (double const share = mass_of(scores[i]) / total; share > 0.0) sum -= share * std::log(share);
      return std::exp(sum);
    }
    if (count <= units) return 0.0;
    std::int64_t const anchored = detail::count_from(scores, count, detail::rank_of(kForced));
    std::int32_t const cut =
        detail::highest_cut([&](std::int32_t at) { return detail::count_from(scores, count, at) - anchored >= units; });
    std::int64_t above = 0;
    for (std::int64_t i = 0; i < count; ++i)
      if (detail::rank_of(scores[i]) > cut && scores[i] < kForced) sum += mass_of(scores[i]), ++above;
    for (std::int64_t i = 0; i < count && above < units; ++i)
      if (detail::rank_of(scores[i]) == cut) sum += mass_of(scores[i]), ++above;
    return std::max(1.0 - sum / total, 0.0);
  }

  void share_pool(std::int64_t units, Scores scores, Counts counts, std::int64_t row) const {
    std::int64_t const heads = scores.extent(0);
    std::int64_t const share = detail::whole_share(floor_share, units);
    auto const scores_of = [&](std::int64_t head) { return scores.slice(head) + row * scores.stride(1); };
    auto const floor_of = [&](std::int64_t head) {
      std::int64_t const forced = detail::count_from(scores_of(head), counts(head, row), detail::rank_of(kForced));
      return std::min<std::int64_t>(std::max(share, forced), counts(head, row));
    };
    // The nudge shares out evenly what all spread scores together have no candidates for.
    auto const weight_of = [&](std::int64_t head) {
      return spread_of(scores_of(head), counts(head, row), units) + 1e-9;
    };
    auto const is_full = [&](std::int64_t head, double weight, double units_per_weight) {
      return static_cast<double>(floor_of(head)) + units_per_weight * weight >= static_cast<double>(counts(head, row));
    };
    // Who would get more than it has candidates for gets them all, and the others share what that leaves; until nobody
    // new is full. Weights are computed again each time, since there is nowhere to keep them: mostly two rounds.
    double units_per_weight = 0.0;
    for (std::int64_t round = 0; round <= heads; ++round) {
      double left = static_cast<double>(heads * units), total = 0.0;
      for (std::int64_t head = 0; head < heads; ++head) {
        double const weight = weight_of(head);
        bool const full = is_full(head, weight, units_per_weight);
        left -= static_cast<double>(full ? counts(head, row) : floor_of(head));
        if (!full) total += weight;
      }
      double const raised = total > 0.0 ? std::max(left, 0.0) / total : units_per_weight;
      if (raised <= units_per_weight) break;
      units_per_weight = raised;
    }
    // Shares are differences of a rounded running sum, so they add up whatever the rounding.
    double running = 0.0;
    std::int64_t given = 0;
    for (std::int64_t head = 0; head < heads; ++head) {
      double const weight = weight_of(head);
      if (is_full(head, weight, units_per_weight)) continue;
      running += weight * units_per_weight;
      auto const upto = static_cast<std::int64_t>(running + 1e-6);
      std::int64_t const kept = floor_of(head) + upto - given;
      given = upto;
      counts(head, row) = static_cast<std::int32_t>(std::min<std::int64_t>(kept, counts(head, row)));
    }
  }

  static constexpr float kForced = std::numeric_limits<float>::infinity();
};

}  // namespace lacuna
