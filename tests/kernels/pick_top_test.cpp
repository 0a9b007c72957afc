#include "lacuna/kernels/pick_top.hpp"

#include <limits>
#include <string>
#include <vector>

#include "reference/ranking.hpp"
#include "support/catch.hpp"
#include "support/exec.hpp"
#include "support/index_case.hpp"
#include "support/kernel_run.hpp"
#include "support/random.hpp"

namespace {

using reference::Units;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

/// Rows of scores, how many to keep of each, and the answer's memory with one spare row behind it.
struct Picking {
  std::vector<std::vector<float>> rows;
  std::vector<std::int32_t> wanted;
  std::vector<std::int32_t> candidates;
  std::int64_t capacity = 0;

  std::vector<float> scores;
  std::vector<std::int32_t> units, counts;

  lacuna::PickTopArgs args(lacuna::Workspace scratch) {
    std::int64_t const row_count = static_cast<std::int64_t>(rows.size());
    std::int64_t const width = row_count > 0 ? static_cast<std::int64_t>(rows[0].size()) : 0;
    scores.clear();
    for (auto const& row : rows) scores.insert(scores.end(), row.begin(), row.end());
    units.assign(static_cast<std::size_t>((row_count + 1) * capacity), -7);
    counts.assign(static_cast<std::size_t>(row_count + 1), -7);
    lacuna::PickTopArgs a;
    a.scores = lacuna::dense_view<float const, 2>(scores.data(), {row_count, width});
    a.wanted = lacuna::dense_view<std::int32_t const, 1>(wanted.data(), {row_count});
    if (!candidates.empty()) a.candidates = lacuna::dense_view<std::int32_t const, 1>(candidates.data(), {row_count});
    a.units = lacuna::dense_view<std::int32_t, 2>(units.data(), {row_count, capacity});
    a.counts = lacuna::dense_view<std::int32_t, 1>(counts.data(), {row_count});
    a.scratch = scratch;
    return a;
  }

  std::string run(lacuna::Cpu exec = {}) {
    return support::run_in_exact_scratch(
        [&](lacuna::Workspace& w) {
          lacuna::reserve_pick_top(exec, rows.empty() ? 0 : static_cast<std::int64_t>(rows[0].size()), w);
        },
        [&](lacuna::Workspace w) { return lacuna::pick_top(exec, args(w)); },
        "pick_top: the workspace is smaller than planned", rows.empty() || rows[0].empty());
  }

  /// Compares every row with the exact ranking of the same floats.
  void check() {
    REQUIRE(run() == "");
    for (std::size_t r = 0; r < rows.size(); ++r) {
      std::size_t const candidate_count = candidates.empty() ? rows[r].size() : static_cast<std::size_t>(candidates[r]);
      reference::UnitScores const exact(rows[r].begin(),
                                        rows[r].begin() + static_cast<std::ptrdiff_t>(candidate_count));
      CAPTURE(r, wanted[r], candidate_count);
      auto const kept = support::units_of(
          lacuna::dense_view<std::int32_t, 2>(units.data(), {static_cast<std::int64_t>(rows.size()), capacity}),
          static_cast<std::int64_t>(r), counts[r]);
      REQUIRE(kept == reference::top_units(exact, {}, wanted[r]));
    }
    for (std::size_t e = rows.size() * static_cast<std::size_t>(capacity); e < units.size(); ++e)
      REQUIRE(units[e] == -7);
  }
};

std::vector<float> random_row(support::Random& random, std::int64_t width, int kind) {
  std::vector<float> row;
  for (std::int64_t u = 0; u < width; ++u) {
    float x = static_cast<float>(random.normal());
    if (kind == 1) x = static_cast<float>(random.below(4));  // many ties
    if (kind == 2 && random.below(3) == 0) x = kNan;
    if (kind == 2 && random.below(5) == 0) x = kInf;
    if (kind == 2 && random.below(5) == 0) x = -kInf;
    if (kind == 3) x *= 1e-42F;  // denormal
    if (kind == 4) x = random.below(2) == 0 ? 0.0F : -0.0F;
    row.push_back(x);
  }
  return row;
}

TEST_CASE("pick top: random, tied, infinite, NaN and denormal scores rank exactly like the oracle's", "[kernels]") {
  support::Random random(21);
  for (int round = 0; round < 300; ++round) {
    std::int64_t const width = round % 7 == 0 ? random.below(3000) : random.below(80);
    Picking picking;
    for (int kind = 0; kind < 5; ++kind) {
      picking.rows.push_back(random_row(random, width, kind));
      picking.wanted.push_back(static_cast<std::int32_t>(random.below(width + 3)));
      picking.candidates.push_back(static_cast<std::int32_t>(random.below(width + 1)));
    }
    picking.capacity = width + 2;
    CAPTURE(round, width);
    picking.check();
    picking.candidates.clear();
    picking.check();
  }
}

TEST_CASE("pick top: ties go to the lower unit, also where positive and negative zero meet", "[kernels]") {
  Picking picking{{{-0.0F, 0.0F, -0.0F, 0.0F}}, {2}, {}, 4, {}, {}, {}};
  picking.check();
  CHECK(picking.units[0] == 0);
  CHECK(picking.units[1] == 1);
}

TEST_CASE("pick top: NaN ranks with minus infinity, behind every number", "[kernels]") {
  Picking picking{{{kNan, -1e30F, kNan, -kInf, kNan}}, {3}, {}, 5, {}, {}, {}};
  picking.check();
  CHECK(std::vector<std::int32_t>(picking.units.begin(), picking.units.begin() + 3) ==
        std::vector<std::int32_t>{0, 1, 2});
}

TEST_CASE("pick top: nothing wanted, nothing there", "[kernels]") {
  Picking none{{{1.0F, 2.0F}}, {0}, {}, 2, {}, {}, {}};
  none.check();
  Picking empty{{{}, {}}, {3, 0}, {}, 2, {}, {}, {}};
  empty.check();
}

TEST_CASE("pick top: any number of workers and any order give the same units", "[kernels]") {
  support::Random random(22);
  Picking picking;
  for (int row = 0; row < 40; ++row) {
    picking.rows.push_back(random_row(random, 9000, row % 3));
    picking.wanted.push_back(static_cast<std::int32_t>(random.below(9000)));
  }
  picking.capacity = 9000;
  REQUIRE(picking.run() == "");
  auto const first = picking.units;
  REQUIRE(picking.run(support::backwards(3)) == "");
  CHECK(picking.units == first);
}

TEST_CASE("pick top: arguments that do not fit together are refused", "[kernels]") {
  support::GuardedMemory memory(1 << 16);
  auto complaint = [&](auto const& spoil) {
    Picking picking{{{1.0F, 2.0F, 3.0F}, {1.0F, 2.0F, 3.0F}}, {2, 2}, {3, 3}, 2, {}, {}, {}};
    lacuna::PickTopArgs args = picking.args(memory.workspace());
    spoil(picking, args);
    return std::string(lacuna::pick_top(lacuna::Cpu{}, args).message);
  };
  CHECK(complaint([](auto&, auto&) {}).empty());
  CHECK(complaint([](auto&, auto& a) { a.wanted.extents[0] = 1; }) ==
        "pick_top: wanted, units and counts must have one entry per row of scores");
  CHECK(complaint([](auto&, auto& a) { a.candidates.extents[0] = 1; }) ==
        "pick_top: candidates must have one entry per row of scores");
  CHECK(complaint([](auto&, auto& a) { a.scores.strides[1] = 2; }) ==
        "pick_top: the last axis of scores must be dense");
  CHECK(complaint([](auto& p, auto&) { p.candidates[1] = 4; }) == "pick_top: more candidates than scores");
  CHECK(complaint([](auto& p, auto&) { p.candidates[1] = -1; }) == "pick_top: more candidates than scores");
  CHECK(complaint([](auto& p, auto&) { p.wanted[1] = -1; }) == "pick_top: wanted must not be negative");
  CHECK(complaint([](auto& p, auto&) { p.wanted[1] = 3; }) ==
        "pick_top: the index has no room for that many units; plan for this shape and budget");
}

}  // namespace
