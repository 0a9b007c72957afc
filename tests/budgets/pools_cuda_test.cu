#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "lacuna/budgets/adaptive_heads.hpp"
#include "lacuna/budgets/dispersion.hpp"
#include "lacuna/budgets/given.hpp"
#include "lacuna/budgets/sublinear.hpp"
#include "lacuna/budgets/with_current.hpp"
#include "lacuna/units/page.hpp"
#include "lacuna/units/token.hpp"
#include "support/catch.hpp"
#include "support/device.hpp"
#include "support/random.hpp"

namespace pools_cuda_test {

using Ints = std::vector<std::int32_t>;
using lacuna::dense_view;

/// Scores of [choices, 1, units], and how many of each row are meant.
struct Rows {
  std::int64_t choices, units;
  std::vector<float> scores;
  Ints candidates;
};

enum class Kind { weights, ties, odd, steep };

Rows rows(std::int64_t choices, std::int64_t units, Kind kind, std::uint64_t seed) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  support::Random random(seed);
  Rows rows{choices, units, {}, {}};
  for (std::int64_t row = 0; row < choices; ++row) {
    auto const held = static_cast<std::int32_t>(row % 3 == 1 ? random.below(units + 1) : units);
    rows.candidates.push_back(held);
    double const width = 1.0 + static_cast<double>(row);
    for (std::int64_t unit = 0; unit < units; ++unit) {
      double x = std::exp(random.normal() * width) * 1e-3;
      if (kind == Kind::ties) x = static_cast<double>(random.below(3));
      if (kind == Kind::steep) x = std::exp(-60.0 * random.uniform());
      auto score = static_cast<float>(x);
      if (kind == Kind::odd && random.below(10) == 0) score = std::numeric_limits<float>::quiet_NaN();
      if (kind == Kind::odd && random.below(10) == 0) score = -kInf;
      if (kind == Kind::odd && random.below(10) == 0) score = -0.0F;
      if (unit < 4 || unit >= held - 5) score = kInf;  // as if anchored
      rows.scores.push_back(unit < held ? score : std::numeric_limits<float>::quiet_NaN());
    }
  }
  return rows;
}

/// A batch on the device gets the counts that each sequence gets on the CPU.
template <class B, class U>
void allots_as_the_cpu(B const& budget, U const& unit, Rows const& rows, std::int64_t batch,
                       B const* of_device = nullptr, std::int32_t slack = 0) {
  Ints expected = rows.candidates;
  std::vector<float> scores = rows.scores;
  std::int64_t const heads = rows.choices / batch;
  for (std::int64_t b = 0; b < batch; ++b) {
    lacuna::Scores const of_b = dense_view<float, 3>(scores.data() + b * heads * rows.units, {heads, 1, rows.units});
    auto const s =
        budget.allot(lacuna::Cpu{}, unit, of_b, dense_view<std::int32_t, 2>(expected.data() + b * heads, {heads, 1}));
    REQUIRE(s);
  }
  support::Stream const stream;
  support::DeviceArray<float> const d_scores(rows.scores);
  support::DeviceArray<std::int32_t> const d_counts(rows.candidates);
  lacuna::Scores const all = dense_view<float, 3>(d_scores.data(), {rows.choices, 1, rows.units});
  auto const counts = dense_view<std::int32_t, 2>(d_counts.data(), {rows.choices, 1});
  B const& there = of_device != nullptr ? *of_device : budget;
  lacuna::Status s;
  if constexpr (requires { there.allot(lacuna::Cuda{stream}, unit, batch, all, counts); })
    s = there.allot(lacuna::Cuda{stream}, unit, batch, all, counts);
  else
    s = there.allot(lacuna::Cuda{stream}, unit, counts);
  REQUIRE(std::string(s.message) == "");
  stream.wait();
  Ints const got = d_counts.download();
  if (slack == 0) {
    REQUIRE(got == expected);
  } else {  // sums in another order may round to a neighbour
    for (std::size_t i = 0; i < got.size(); ++i) REQUIRE(std::abs(got[i] - expected[i]) <= slack);
  }
}

TEST_CASE("cuda budgets: heads that share a pool get the CPU's counts", "[budgets]") {
  using namespace lacuna;
  for (Kind kind : {Kind::weights, Kind::ties, Kind::odd, Kind::steep})
    for (std::int64_t units : {16, 300, 3000})
      for (std::int64_t tokens : {1, 12, 100, 400}) {
        CAPTURE(static_cast<int>(kind), units, tokens);
        auto const of_two = rows(16, units, kind, static_cast<std::uint64_t>(units * 7 + tokens));
        allots_as_the_cpu(AdaptiveHeads{.tokens = tokens}, Token{}, of_two, 2);
        allots_as_the_cpu(AdaptiveHeads{.tokens = tokens, .floor_share = 0.0}, Token{}, of_two, 4);
        allots_as_the_cpu(AdaptiveHeads{.tokens = tokens * 16, .floor_share = 1.0}, Page<16>{}, of_two, 16);
        allots_as_the_cpu(Sublinear<AdaptiveHeads>{{.tokens = tokens}, 64, 0.5}, Token{}, of_two, 2);
        for (Spread spread : {Spread::entropy, Spread::mass_outside})
          allots_as_the_cpu(Dispersion{.tokens = tokens, .spread = spread}, Token{}, of_two, 2,
                            static_cast<Dispersion const*>(nullptr), 1);
      }
}

TEST_CASE("cuda budgets: counts that the caller gives, and one less for the current page", "[budgets]") {
  using namespace lacuna;
  auto const of_three = rows(6, 50, Kind::weights, 3);
  auto each = rows(6, 50, Kind::weights, 4);
  for (std::int32_t& held : each.candidates) held = std::max(held, 1);
  allots_as_the_cpu(Sublinear<FixedBudget>{{.tokens = 16}, 400, 0.5}, Page<16>{}, each, 6);
  Ints const tokens{0, 7, -3, 16, 33, 4000};
  support::DeviceArray<std::int32_t> const d_tokens(tokens);
  for (std::int64_t count : {std::int64_t{6}, std::int64_t{1}}) {
    GivenBudget const cpu{64, dense_view<std::int32_t const, 1>(tokens.data() + (count == 1 ? 4 : 0), {count})};
    GivenBudget const cuda{64, dense_view<std::int32_t const, 1>(d_tokens.data() + (count == 1 ? 4 : 0), {count})};
    allots_as_the_cpu(cpu, Page<16>{}, of_three, 1, &cuda);
    WithCurrent<GivenBudget> const paying{cpu}, paying_there{cuda};
    allots_as_the_cpu(paying, Page<16>{}, of_three, 1, &paying_there);
  }
}

TEST_CASE("cuda budgets: a pool for more heads than fit is refused", "[budgets]") {
  lacuna::SharePoolArgs const args{dense_view<float, 3>(nullptr, {201, 1, 4}),
                                   dense_view<std::int32_t, 2>(nullptr, {201, 1}), 1, 4};
  CHECK(std::string(share_pool(lacuna::Cuda{}, args).message) ==
        "share_pool: at most 200 heads share a pool on the device");
}

}  // namespace pools_cuda_test
