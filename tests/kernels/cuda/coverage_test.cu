#include "lacuna/kernels/coverage.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "lacuna/budgets/above_cut.hpp"
#include "lacuna/budgets/top_mass.hpp"
#include "lacuna/kernels/soften.hpp"
#include "lacuna/selectors/normalised.hpp"
#include "lacuna/units/token.hpp"
#include "support/catch.hpp"
#include "support/device.hpp"
#include "support/random.hpp"

namespace {

using lacuna::CoverageRule;

enum class Kind { weights, even, few_values, special, nothing };

std::vector<float> draw(Kind kind, std::int64_t count, std::uint64_t seed) {
  support::Random random(seed);
  constexpr float kInf = std::numeric_limits<float>::infinity();
  float const special[] = {kInf, -kInf, std::nanf(""), 0.0F, -0.0F, 1e-40F, 3e38F, -1.0F, 0.25F, 0.5F};
  std::vector<float> scores;
  for (std::int64_t i = 0; i < count; ++i) switch (kind) {
      case Kind::weights: scores.push_back(static_cast<float>(std::exp(3.0 * random.normal() - 9.0))); break;
      case Kind::even: scores.push_back(1.0F / 1024.0F); break;
      case Kind::few_values: scores.push_back(static_cast<float>(random.below(4)) * 0.125F); break;
      case Kind::special: scores.push_back(special[random.below(10)]); break;
      case Kind::nothing: scores.push_back(0.0F); break;
    }
  return scores;
}

template <class Budget>
void equals_the_cpu(Kind kind, std::int64_t units, Budget const& budget, lacuna::CoverageArgs args) {
  CAPTURE(static_cast<int>(kind), units, args.share, args.floor_units, args.most_units);
  constexpr std::int64_t kHeads = 3, kRows = 2;
  auto scores = draw(kind, kHeads * kRows * units, static_cast<std::uint64_t>(units));
  std::vector<std::int32_t> counts;
  for (std::int64_t i = 0; i < kHeads * kRows; ++i)
    counts.push_back(static_cast<std::int32_t>(i == 0 ? units : std::max<std::int64_t>(units - 17 * i, 1)));
  support::DeviceArray<float> d_scores(scores);
  support::DeviceArray<std::int32_t> d_counts(counts);
  args.scores = lacuna::dense_view<float, 3>(d_scores.data(), {kHeads, kRows, units});
  args.counts = lacuna::dense_view<std::int32_t, 2>(d_counts.data(), {kHeads, kRows});
  support::Stream stream;
  auto const s = lacuna::coverage(lacuna::Cuda{stream}, args);
  CAPTURE(s.message);
  REQUIRE(s);
  stream.wait();
  lacuna::Scores const host = lacuna::dense_view<float, 3>(scores.data(), {kHeads, kRows, units});
  auto const t = budget.allot(lacuna::Cpu{}, lacuna::Token{}, host,
                              lacuna::dense_view<std::int32_t, 2>(counts.data(), {kHeads, kRows}));
  REQUIRE(t);
  REQUIRE(d_counts.download() == counts);
}

TEST_CASE("cuda coverage: the counts of the CPU, for the same scores", "[kernels]") {
  for (Kind kind : {Kind::weights, Kind::even, Kind::few_values, Kind::special, Kind::nothing})
    for (std::int64_t units : {1, 33, 1000, 8192, 40000})
      for (double share : {0.0, 0.3, 0.65, 0.95, 0.9999999, 1.0}) {
        equals_the_cpu(kind, units, lacuna::TopMass{share, 7, 0}, {{}, {}, share, 7, 0});
        equals_the_cpu(kind, units, lacuna::TopMass{share, 2, 600}, {{}, {}, share, 2, 600});
        equals_the_cpu(kind, units, lacuna::AnchoredTopMass{share}, {{}, {}, share, 1, 0, CoverageRule::after_anchors});
        equals_the_cpu(kind, units, lacuna::MassWithin{share}, {{}, {}, share, 1, 0, CoverageRule::within});
        equals_the_cpu(kind, units, lacuna::AboveCut{7, 900}, {{}, {}, share, 7, 900, CoverageRule::above_cut});
      }
}

TEST_CASE("cuda soften: rows become their softmax, as on the CPU", "[kernels]") {
  support::Random random(9);
  constexpr std::int64_t kRows = 4, kUnits = 3000;
  for (float soft_cap : {0.0F, 3.0F}) {
    std::vector<float> scores;
    for (std::int64_t i = 0; i < kRows * kUnits; ++i) scores.push_back(static_cast<float>(20.0 * random.normal()));
    scores[5] = -std::numeric_limits<float>::infinity();
    scores[kUnits + 7] = std::nanf("");
    scores[2 * kUnits + 1] = std::numeric_limits<float>::infinity();
    std::vector<std::int32_t> const counts{kUnits, 2999, 100, 1};
    support::DeviceArray<float> d_scores(scores);
    support::DeviceArray<std::int32_t> d_counts(counts);
    support::Stream stream;
    lacuna::Problem<float> problem;
    problem.scale = 0.3F;
    problem.soft_cap = soft_cap;
    auto const s = lacuna::soften(lacuna::Cuda{stream},
                                  {lacuna::dense_view<float, 3>(d_scores.data(), {2, 2, kUnits}),
                                   lacuna::dense_view<std::int32_t, 2>(d_counts.data(), {2, 2}), 0.3F, soft_cap});
    CAPTURE(s.message);
    REQUIRE(s);
    stream.wait();
    auto const got = d_scores.download();
    for (std::size_t row = 0; row < counts.size(); ++row) {
      lacuna::detail::soften_row(problem, scores.data() + row * kUnits, counts[row]);
      for (std::int32_t unit = 0; unit < counts[row]; ++unit) {
        std::size_t const at = row * kUnits + static_cast<std::size_t>(unit);
        CAPTURE(row, unit, scores[at], got[at]);
        if (std::isinf(scores[at]))
          REQUIRE(got[at] == scores[at]);
        else
          REQUIRE(std::abs(got[at] - scores[at]) <= 2e-5F * scores[at] + 1e-30F);
      }
    }
  }
}

}  // namespace
