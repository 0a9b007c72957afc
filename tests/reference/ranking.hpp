#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

namespace reference {

using Units = std::vector<std::int64_t>;  // unit ids, ascending, each once
using UnitScores = std::vector<double>;   // one score per unit; bigger means keep me

/// What ranking sees: NaN counts as the worst score there is, and then the forced units as the best.
inline UnitScores ranked_scores(UnitScores scores, Units const& forced) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (double& score : scores)
    if (std::isnan(score)) score = -kInf;
  for (std::int64_t unit : forced) scores[static_cast<std::size_t>(unit)] = kInf;
  return scores;
}

/// The best `count` units: higher score first, then lower id.
inline Units top_units(UnitScores const& raw, Units const& forced, std::int64_t count) {
  UnitScores const scores = ranked_scores(raw, forced);
  Units order(scores.size());
  for (std::size_t unit = 0; unit < order.size(); ++unit) order[unit] = static_cast<std::int64_t>(unit);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
  });
  order.resize(static_cast<std::size_t>(std::min<std::int64_t>(count, static_cast<std::int64_t>(order.size()))));
  std::sort(order.begin(), order.end());
  return order;
}

/// Empty when `kept` is a right answer, otherwise what is wrong with it. Scores within `tolerance` of the score at the
/// cut may fall on either side of it, because the library ranks floats; with tolerance 0 only the exact answer is
/// right.
inline std::string explain_selection(Units const& kept, UnitScores const& raw, Units const& forced, std::int64_t count,
                                     double tolerance) {
  std::ostringstream why;
  Units const exact = top_units(raw, forced, count);
  if (kept == exact) return "";
  if (kept.size() != exact.size()) {
    why << "kept " << kept.size() << " units instead of " << exact.size();
    return why.str();
  }
  for (std::size_t r = 0; r < kept.size(); ++r) {
    if (kept[r] < 0 || kept[r] >= static_cast<std::int64_t>(raw.size())) {
      why << "unit " << kept[r] << " does not exist";
      return why.str();
    }
    if (r > 0 && kept[r] <= kept[r - 1]) {
      why << "unit " << kept[r] << " follows " << kept[r - 1];
      return why.str();
    }
  }
  UnitScores const scores = ranked_scores(raw, forced);
  double cut = std::numeric_limits<double>::infinity();
  for (std::int64_t unit : exact) cut = std::min(cut, scores[static_cast<std::size_t>(unit)]);
  for (std::size_t unit = 0; unit < scores.size(); ++unit) {
    bool const is_kept = std::binary_search(kept.begin(), kept.end(), static_cast<std::int64_t>(unit));
    bool const is_best = std::binary_search(exact.begin(), exact.end(), static_cast<std::int64_t>(unit));
    if (is_kept == is_best) continue;
    bool const near = std::isfinite(scores[unit]) && std::isfinite(cut) && std::abs(scores[unit] - cut) <= tolerance;
    if (tolerance > 0.0 && near) continue;
    why << (is_kept ? "kept unit " : "dropped unit ") << unit << " of score " << scores[unit] << ", the cut is at "
        << cut;
    return why.str();
  }
  return "";
}

/// The score at the cut, in magnitude: what a tolerance on the scores should be relative to.
inline double cut_magnitude(UnitScores const& raw, Units const& forced, std::int64_t count) {
  UnitScores const scores = ranked_scores(raw, forced);
  double cut = std::numeric_limits<double>::infinity();
  for (std::int64_t unit : top_units(raw, forced, count)) cut = std::min(cut, scores[static_cast<std::size_t>(unit)]);
  return std::isfinite(cut) ? std::abs(cut) : 0.0;
}

/// The first `head_units` and the last `tail_units` of `units`, ascending, each once.
inline Units both_ends(std::int64_t units, std::int64_t head_units, std::int64_t tail_units) {
  Units ends;
  for (std::int64_t unit = 0; unit < units; ++unit)
    if (unit < head_units || unit >= units - tail_units) ends.push_back(unit);
  return ends;
}

}  // namespace reference
