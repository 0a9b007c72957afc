#include "lacuna/methods/sparge.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "lacuna/selectors/group_shared.hpp"
#include "reference/top_mass.hpp"
#include "support/block_case.hpp"
#include "support/exec.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::Sparge;
using lacuna::SpargeOf;
using reference::UnitScores;
using support::Data;
using support::ProblemCase;
using support::Sizes;

/// Mean cosine of all pairs of rows, by the pairs.
template <class Row>
double mean_cosine(std::int64_t begin, std::int64_t end, std::int64_t dim, Row const& row) {
  double sum = 0.0;
  for (std::int64_t a = begin; a < end; ++a)
    for (std::int64_t b = begin; b < end; ++b)
      sum += reference::dot(row(a), row(b), dim) /
             std::sqrt(reference::dot(row(a), row(a), dim) * reference::dot(row(b), row(b), dim));
  return sum / static_cast<double>((end - begin) * (end - begin));
}

/// Neighbouring rows that point the same way, but for every third block.
reference::Inputs smooth_inputs(Sizes const& sizes, std::int64_t tokens) {
  auto in = support::make_inputs<float>(sizes, Data::random, 77);
  auto const smooth = [&](std::vector<double>& rows, std::int64_t count, std::int64_t heads, std::int64_t first) {
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t h = 0; h < heads; ++h)
        for (std::int64_t x = 0; x < in.dim; ++x) {
          std::int64_t const block = (first + i) / tokens;
          double& value = rows[static_cast<std::size_t>((i * heads + h) * in.dim + x)];
          std::int64_t const lead = std::max<std::int64_t>(block * tokens - first, 0);
          if ((block + h) % 3 != 0 && i != lead)
            value =
                support::round_to<float>(0.2 * value + rows[static_cast<std::size_t>((lead * heads + h) * in.dim + x)]);
        }
  };
  smooth(in.q, in.len_q, in.heads_q, in.len_k - in.len_q);
  smooth(in.k, in.len_k, in.heads_kv, 0);
  return in;
}

template <int B>
void equals_the_oracle(Sizes const& sizes, double share, float threshold) {
  CAPTURE(name_of(sizes), B, share, threshold);
  auto const in = smooth_inputs(sizes, B);
  ProblemCase<float> c(in);
  SpargeOf<B> method{.budget = {.share = share}};
  method.selector.threshold = threshold;
  method.selector.inner.inner.true_counts = true;
  std::int64_t const first = in.len_k - in.len_q;
  std::int64_t forced_rows = 0, forced_keys = 0;
  support::block_method_equals_the_oracle(
      method, in, c, Data::random, [&](std::int64_t head, std::int64_t m, reference::Units const& kept) -> std::string {
        auto const query = [&](std::int64_t at) { return in.query(at - first, head); };
        auto const key = [&](std::int64_t at) { return in.key(at, in.head_kv(head)); };
        auto const end = [&](std::int64_t block) { return std::min((block + 1) * B, in.len_k); };
        std::int64_t const begin = std::max(m * B, first);
        if (mean_cosine(begin, end(m), in.dim, query) < static_cast<double>(threshold)) {
          ++forced_rows;
          return static_cast<std::int64_t>(kept.size()) == m + 1 ? "" : "a query block unlike itself lacks keys";
        }
        UnitScores logits, others;
        reference::Units forced;
        for (std::int64_t block = 0; block <= m; ++block) {
          double product = 0.0;
          for (std::int64_t i = begin; i < end(m); ++i)
            for (std::int64_t j = block * B; j < end(block); ++j) product += reference::dot(query(i), key(j), in.dim);
          logits.push_back(product / static_cast<double>((end(m) - begin) * (end(block) - block * B)));
          if (mean_cosine(block * B, end(block), in.dim, key) < static_cast<double>(threshold)) forced.push_back(block);
        }
        forced_keys += static_cast<std::int64_t>(forced.size());
        UnitScores scores = reference::softmax(logits, in.beta());
        for (std::int64_t block : forced) scores[static_cast<std::size_t>(block)] = 0.0;
        double total = 0.0, held = 0.0;
        for (double score : scores) total += score;
        others = scores;
        std::sort(others.begin(), others.end(), std::greater<>{});
        others.resize(others.size() - forced.size());
        std::int64_t within = 0;
        for (double mass : others) within += (held += mass) <= share * total ? 1 : 0;
        if (share == 1.0) within = static_cast<std::int64_t>(others.size());
        auto const count = std::max<std::int64_t>(within + static_cast<std::int64_t>(forced.size()), 1);
        auto const got = static_cast<std::int64_t>(kept.size());
        if (std::abs(got - count) > (share == 0.0 || share == 1.0 ? 0 : 1)) return "kept " + std::to_string(got);
        return reference::explain_selection(kept, scores, forced, got, 1e-5);
      });
  if (threshold < 0.0F) CHECK(forced_rows + forced_keys == 0);
  if (threshold > 0.0F && in.len_q > 100) CHECK((forced_rows > 0 && forced_keys > 0));
}

TEST_CASE("sparge: blocks unlike themselves are kept, of the others those within the share", "[methods]") {
  for (double share : {0.0, 0.4, 0.9, 1.0})
    for (float threshold : {-2.0F, 0.5F}) {
      equals_the_oracle<16>({200, 200, 2, 3, 16}, share, threshold);
      equals_the_oracle<16>({37, 190, 1, 2, 32}, share, threshold);
      equals_the_oracle<8>({1, 77, 1, 4, 16}, share, threshold);
      equals_the_oracle<8>({13, 13, 1, 1, 8}, share, threshold);
    }
}

TEST_CASE("sparge: a threshold that nothing reaches is dense, a group may share the choice", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({100, 100, 2, 2, 16}, Data::random, 5));
  Sparge dense{.budget = {.share = 0.1}};
  dense.selector.threshold = 2.0F;
  support::MethodRun<Sparge> run(dense, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  CHECK(lacuna::density(run.index()) == 1.0);
  using Shared =
      lacuna::Method<lacuna::Block<16>, lacuna::SelfSimilar<lacuna::Normalised<lacuna::GroupShared<lacuna::MeanPool>>>,
                     lacuna::MassWithin, lacuna::ContiguousCache>;
  Shared shared{.budget = {.share = 0.5}};
  shared.selector.threshold = -2.0F;
  std::vector<double> first;
  for (lacuna::Cpu const& exec : {lacuna::Cpu{}, support::backwards(3)}) {
    support::MethodRun<Shared> group(shared, c.problem(), exec);
    REQUIRE(group.run(c.problem(), c.out()) == "");
    CHECK(group.index().heads() == 2);
    CHECK(lacuna::density(group.index()) < 1.0);
    if (first.empty()) first = c.answer();
    CHECK(c.answer() == first);
    CHECK(group.run_in(group.plan().workspace_bytes - 1, c.problem(), c.out()).code ==
          lacuna::Errc::workspace_too_small);
  }
}

TEST_CASE("sparge: refusals", "[methods]") {
  ProblemCase<float> const c(support::make_inputs<float>({20, 20, 1, 1, 8}, Data::random, 5));
  CHECK(std::string(lacuna::SelfSimilar<lacuna::Normalised<lacuna::MeanPool>>{}
                        .prepare({}, lacuna::Block<16>{}, c.problem(), {})
                        .message) == "self_similar: the workspace is smaller than planned");
  CHECK(std::string(Sparge{.budget = {.share = 1.5}}.plan(lacuna::Cpu{}, {20, 20, 1, 1, 8}).status().message) ==
        "mass_within: share must be in [0, 1]; value and bound are in millionths");
}

}  // namespace
