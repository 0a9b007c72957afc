#include <cstdint>

#include "lacuna/budgets/fixed.hpp"
#include "lacuna/index/density.hpp"
#include "lacuna/kv/evicting.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/methods/streaming.hpp"
#include "lacuna/selectors/random.hpp"
#include "lacuna/units/block.hpp"
#include "lacuna/units/page.hpp"
#include "lacuna/units/token.hpp"
#include "lacuna/units/vertical_slash.hpp"
#include "support/catch.hpp"
#include "support/index_keys.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

namespace {

using support::Sizes;

/// Pairs that the index keeps against pairs that there are, both as far as the window leaves them, of the last `rows`
/// queries.
template <class M>
void equals_the_oracle(M const& method, Sizes const& sizes, std::int64_t window, std::int64_t rows) {
  CAPTURE(name_of(sizes), window);
  auto in = support::make_inputs<float>(sizes, support::Data::random, 5);
  in.window_tokens = window;
  support::ProblemCase<float> const c(in);
  support::MethodRun<M> run(method, c.problem());
  REQUIRE(run.select(c.problem()) == "");
  auto const seen = [&](reference::Keys keys, std::int64_t row) {
    std::erase_if(keys, [&](std::int64_t j) { return in.too_old(j, row); });
    return static_cast<double>(keys.size());
  };
  double kept = 0.0, all = 0.0;
  for (std::int64_t head = 0; head < in.heads_q; ++head)
    for (std::int64_t row = in.len_q - rows; row < in.len_q; ++row) {
      kept += seen(support::keys_of(run.index(), in, head, row), row);
      all += seen(reference::dense_keys(in, row), row);
    }
  REQUIRE(lacuna::density(run.index(), window) == Approx(kept / all).epsilon(1e-12));
}

TEST_CASE("density: with a window, exactly the pairs that it leaves are counted", "[index]") {
  using lacuna::ContiguousCache, lacuna::EvictingCache, lacuna::FixedBudget, lacuna::Method, lacuna::RandomSelector;
  for (std::int64_t window : {0, 1, 7, 16, 50, 130, 131, 1000}) {
    for (Sizes const& sizes : {Sizes{131, 131, 1, 2, 4}, Sizes{40, 131, 2, 1, 4}}) {
      equals_the_oracle(
          Method<lacuna::VerticalSlashUnit<16>, RandomSelector, lacuna::FixedPair, ContiguousCache>{
              .budget = {.columns = 10, .diagonals = 3}},
          sizes, window, sizes.len_q);
      equals_the_oracle(
          Method<lacuna::Block<16>, RandomSelector, FixedBudget, ContiguousCache>{.budget = {.tokens = 48}}, sizes,
          window, sizes.len_q);
      equals_the_oracle(lacuna::Streaming{.sink_tokens = 4, .window_tokens = 30}, sizes, window, sizes.len_q);
      equals_the_oracle(Method<lacuna::Token, RandomSelector, FixedBudget, EvictingCache>{.budget = {.tokens = 40}},
                        sizes, window, 1);
    }
    equals_the_oracle(Method<lacuna::Page<16>, RandomSelector, FixedBudget, ContiguousCache>{.budget = {.tokens = 48}},
                      {1, 131, 2, 2, 4}, window, 1);
  }
}

}  // namespace
