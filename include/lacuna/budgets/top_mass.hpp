#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "lacuna/budgets/budget.hpp"
#include "lacuna/kernels/coverage.hpp"

namespace lacuna {
namespace detail {

/// Attention mass in units of 2^-40: whole numbers, so that the order of a sum does not change it. What is not a mass
/// (NaN, -inf, a forced unit's +inf) weighs nothing.
inline std::uint64_t mass_of(float score) {
  constexpr float kMost = 0x1p20F;
  return score > 0.0F && score <= kMost ? static_cast<std::uint64_t>(static_cast<double>(score) * 0x1p40) : 0;
}

inline std::uint64_t row_mass(float const* scores, std::int64_t units) {
  std::uint64_t mass = 0;
  for (std::int64_t unit = 0; unit < units; ++unit) mass += mass_of(scores[unit]);
  return mass;
}

/// How many units, best first, are taken while what was taken before them holds less than `wanted`. No sort and no
/// memory: four passes over the row narrow the score of the last one, a byte of its pattern at a time (patterns of
/// positive floats rank as their values do).
inline std::int64_t units_below_mass(float const* scores, std::int64_t units, std::uint64_t wanted) {
  if (wanted == 0) return 0;
  struct Bin {
    std::int64_t count = 0;
    std::uint64_t mass = 0;
  };
  std::int64_t taken = 0;
  std::uint64_t held = 0;
  std::uint32_t prefix = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    std::array<Bin, 256> bins{};
    for (std::int64_t unit = 0; unit < units; ++unit) {
      std::uint64_t const mass = mass_of(scores[unit]);
      if (mass == 0) continue;
      auto const bits = std::bit_cast<std::uint32_t>(scores[unit]);
      if (shift < 24 && bits >> (shift + 8) != prefix) continue;
      Bin& bin = bins[bits >> shift & 0xFFU];
      ++bin.count;
      bin.mass += mass;
    }
    std::uint32_t at = 255;
    for (; held + bins[at].mass < wanted; --at) {
      held += bins[at].mass;
      taken += bins[at].count;
      if (at == 0) return taken;  // everything that weighs anything
    }
    prefix = prefix << 8 | at;
    if (shift > 0) continue;
    std::uint64_t const each = bins[at].mass / static_cast<std::uint64_t>(bins[at].count);  // they are all equal
    return taken + static_cast<std::int64_t>((wanted - held + each - 1) / each);
  }
  return taken;
}

/// counts = units_for(row, candidates) for every row, at least 1 and at most its candidates.
template <class F>
Status allot_each(Cpu exec, Scores const& scores, Counts const& counts, F const& units_for) {
  if (Status s = check_counts(scores, counts); !s) return s;
  std::int64_t const rows = scores.extent(0) * scores.extent(1);
  exec.for_work(rows * scores.extent(2) * 16).each(rows, [&](std::int64_t item, int) {
    std::int64_t const head = item / scores.extent(1), row = item % scores.extent(1);
    std::int32_t& count = counts(head, row);
    std::int64_t const units = units_for(scores.slice(head) + row * scores.stride(1), std::int64_t{count});
    count = static_cast<std::int32_t>(std::min<std::int64_t>(std::max<std::int64_t>(units, 1), count));
  });
  return {};
}

}  // namespace detail

/// As many units as hold more than a share of the row's attention, measured before anything is forced (FlexPrefill,
/// arXiv 2502.20766: the one that crosses the share is kept). A share of 0 leaves the floor, one of 1 keeps all
/// whose score is not -inf; a row without any mass keeps the floor.
struct TopMass {
  static constexpr bool needs_mass = true;
  static constexpr bool before_anchors = true;

  double share = 0.9;               // in [0, 1]
  std::int64_t floor_tokens = 512;  // the least a choice may keep
  std::int64_t most_tokens = 0;     // the most; 0: no limit

  template <class U>
  Status check(U const&) const {
    if (Status s = detail::check_share(share, "top_mass: share must be in [0, 1]; value and bound are in millionths");
        !s)
      return s;
    if (floor_tokens < 1) return Status::invalid("top_mass: floor_tokens must be at least 1", floor_tokens, 1);
    if (most_tokens != 0 && most_tokens < floor_tokens)
      return Status::invalid("top_mass: most_tokens must be 0 or at least floor_tokens", most_tokens, floor_tokens);
    return {};
  }

  template <class U>
  std::int64_t limit(U const& unit, int, std::int64_t len) const {
    return most_tokens == 0 ? unit.candidates(len) : std::min(unit.count(most_tokens), unit.candidates(len));
  }

  /// What a choice is sure of.
  template <class U>
  std::int64_t mean(U const& unit, int, std::int64_t) const {
    return unit.count(floor_tokens);
  }

  template <class U>
  Status allot(Cpu exec, U const& unit, Scores scores, Counts counts) const {
    return detail::allot_each(exec, scores, counts, [&](float const* row, std::int64_t candidates) {
      std::uint64_t const wanted =
          1 + static_cast<std::uint64_t>(share * static_cast<double>(detail::row_mass(row, candidates)));
      std::int64_t const ruled_out = std::count(row, row + candidates, -std::numeric_limits<float>::infinity());
      std::int64_t const cover =
          share >= 1.0 ? candidates - ruled_out : detail::units_below_mass(row, candidates, wanted);
      std::int64_t const units = std::max(cover, unit.count(floor_tokens));
      return most_tokens == 0 ? units : std::min(units, unit.count(most_tokens));
    });
  }

#if LACUNA_CUDA
  template <class U>
  Status allot(Cuda exec, U const& unit, Scores scores, Counts counts) const {
    return coverage(exec,
                    {scores, counts, share, unit.count(floor_tokens), most_tokens == 0 ? 0 : unit.count(most_tokens)});
  }
#endif
};

namespace detail {

/// Anchored units, and the best others until what is kept holds `share` of a row that sums to 1: these must hold what
/// the anchored ones lack of it.
inline std::int64_t units_after_anchors(float const* row, std::int64_t candidates, double share) {
  std::int64_t const forced = std::count(row, row + candidates, std::numeric_limits<float>::infinity());
  double const others = static_cast<double>(row_mass(row, candidates)) * 0x1p-40;
  double const wanted = others - (1.0 - share);
  if (wanted <= 0.0) return forced;
  return forced + units_below_mass(row, candidates, static_cast<std::uint64_t>(std::ceil(wanted * 0x1p40)));
}

/// Anchored units, and the best others that hold at most `share` of what all others hold.
inline std::int64_t units_within(float const* row, std::int64_t candidates, double share) {
  constexpr float kAlways = std::numeric_limits<float>::infinity();
  if (share >= 1.0) return candidates - std::count(row, row + candidates, -kAlways);
  std::uint64_t const all = row_mass(row, candidates);
  auto const most = static_cast<std::uint64_t>(share * static_cast<double>(all));
  std::int64_t const cover = units_below_mass(row, candidates, most + 1);
  return std::count(row, row + candidates, kAlways) + (all > most ? cover - 1 : cover);
}

/// A budget of nothing but a share, by one of these.
template <CoverageRule Rule>
struct ShareOfMass {
  static constexpr bool needs_mass = true;

  double share = 0.9;  // in [0, 1]

  template <class U>
  Status check(U const&) const {
    return check_share(share, Rule == CoverageRule::within
                                  ? "mass_within: share must be in [0, 1]; value and bound are in millionths"
                                  : "anchored_top_mass: share must be in [0, 1]; value and bound are in millionths");
  }

  template <class U>
  std::int64_t limit(U const& unit, int, std::int64_t len) const {
    return unit.candidates(len);
  }

  template <class U>
  Status allot(Cpu exec, U const&, Scores scores, Counts counts) const {
    return allot_each(exec, scores, counts, [&](float const* row, std::int64_t candidates) {
      if constexpr (Rule == CoverageRule::within)
        return units_within(row, candidates, share);
      else
        return units_after_anchors(row, candidates, share);
    });
  }

#if LACUNA_CUDA
  template <class U>
  Status allot(Cuda exec, U const&, Scores scores, Counts counts) const {
    return coverage(exec, {scores, counts, share, 1, 0, Rule});
  }
#endif
};

}  // namespace detail

/// Anchored units first, then the best others while what is kept holds less than a share of the row's attention
/// (XAttention, arXiv 2503.16428). The scores of a row sum to 1, so that what the anchored units hold is what the
/// others lack.
using AnchoredTopMass = detail::ShareOfMass<CoverageRule::after_anchors>;

/// Units of score +inf first, and then as many of the others, best first, as hold at most a share of the others' mass:
/// the one that crosses the share is left out (SpargeAttn, arXiv 2502.18137). At least one unit; a share of 1 keeps all
/// whose score is not -inf.
using MassWithin = detail::ShareOfMass<CoverageRule::within>;

}  // namespace lacuna
