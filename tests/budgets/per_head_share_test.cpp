#include "lacuna/budgets/per_head_share.hpp"

#include <string>
#include <vector>

#include "lacuna/budgets/ratio.hpp"
#include "lacuna/methods/flex_prefill.hpp"
#include "lacuna/methods/x_attention.hpp"
#include "lacuna/units/page.hpp"
#include "lacuna/units/token.hpp"
#include "support/block_case.hpp"
#include "support/catch.hpp"
#include "support/index_keys.hpp"
#include "support/method_run.hpp"

namespace {

using lacuna::PerHeadShare;
using lacuna::Ratio;
using lacuna::Token;

static_assert(lacuna::BudgetFor<PerHeadShare<Ratio>, lacuna::Page<16>>);
static_assert(lacuna::detail::kNeedsMass<PerHeadShare<lacuna::TopMass>>);
static_assert(lacuna::detail::kBeforeAnchors<PerHeadShare<lacuna::TopMass>>);
static_assert(!lacuna::detail::kBeforeAnchors<PerHeadShare<lacuna::AnchoredTopMass>>);

std::vector<float> const shares{0.5F, 0.9375F, 0.0F, 0.75F};

lacuna::TensorView<float const, 1> first_shares(std::int64_t heads) {
  return lacuna::dense_view<float const, 1>(shares.data(), {heads});
}

/// Each head keeps what the method keeps for it when its share is everybody's.
template <class Method, class PerHead>
void each_head_has_its_own(Method one_for_all, PerHead method) {
  auto const in = support::make_inputs<float>({90, 140, 2, 2, 32}, support::Data::random, 17);
  support::ProblemCase<float> c(in), alone(in);
  method.budget.shares = first_shares(4);
  support::MethodRun<PerHead> run(method, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  for (std::int64_t head = 0; head < 4; ++head) {
    one_for_all.budget.share = static_cast<double>(shares[static_cast<std::size_t>(head)]);
    support::MethodRun<Method> of_head(one_for_all, alone.problem());
    REQUIRE(of_head.run(alone.problem(), alone.out()) == "");
    for (std::int64_t row = 0; row < in.len_q; ++row)
      REQUIRE(support::keys_of(run.index(), in, head, row) == support::keys_of(of_head.index(), in, head, row));
    for (std::int64_t row = 0; row < in.len_q; ++row) REQUIRE(c.out_at(row, head, 0) == alone.out_at(row, head, 0));
  }
}

TEST_CASE("per_head_share: rows of blocks that stream, columns and diagonals", "[budgets]") {
  using Thresholds = lacuna::XAttentionOf<16, PerHeadShare<lacuna::AnchoredTopMass>>;
  each_head_has_its_own(lacuna::XAttentionOf<16>{}, Thresholds{});
  using Shares = lacuna::VerticalSlashOf<16, PerHeadShare<lacuna::TopMass>>;
  lacuna::FlexPrefillOf<16> flex{.selector = {.recent_tokens = 8}, .budget = {.floor_tokens = 8}};
  each_head_has_its_own(flex, Shares{.selector = {.recent_tokens = 8}, .budget = {.inner = {.floor_tokens = 8}}});
}

TEST_CASE("per_head_share: the limit is the greediest head's, the mean the most modest one's", "[budgets]") {
  PerHeadShare<Ratio> const budget{{}, first_shares(2)};
  CHECK(budget.limit(Token{}, 0, 160) == 150);
  CHECK(budget.mean(Token{}, 0, 160) == 80);
}

TEST_CASE("per_head_share: refusals are its own and the inner budget's", "[budgets]") {
  CHECK(std::string(PerHeadShare<Ratio>{}.check(Token{}).message) == "per_head_share: shares must be [heads]");
  PerHeadShare<Ratio> const with_none{{}, first_shares(3)};
  CHECK(std::string(with_none.check(Token{}).message) ==
        "ratio: share must be in (0, 1]; value and bound are in millionths");
  PerHeadShare<Ratio> const too_few{{}, first_shares(2)};
  std::vector<float> numbers(40, 1.0F);
  std::vector<std::int32_t> counts(4, 10);
  auto const scores = lacuna::dense_view<float, 3>(numbers.data(), {4, 1, 10});
  auto const allotted = lacuna::dense_view<std::int32_t, 2>(counts.data(), {4, 1});
  std::string const sentence = "per_head_share: shares must have one entry per head of scores";
  CHECK(std::string(too_few.allot(lacuna::Cpu{}, Token{}, scores, allotted).message) == sentence);
  CHECK(std::string(too_few.allot(lacuna::Cpu{}, Token{}, 2, scores, allotted).message) == sentence);
  CHECK(too_few.allot(lacuna::Cpu{}, Token{}, 1, scores, allotted));
}

}  // namespace
