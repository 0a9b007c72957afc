#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <type_traits>

#include "lacuna/lacuna.hpp"
#include "support/any_method.hpp"
#include "support/catch.hpp"
#include "support/eviction_case.hpp"
#include "support/property.hpp"

// Whatever a method forgets, in pages of any size: what is appended afterwards attends to what was kept and to itself,
// as dense attention under a mask does, and every whole page that was freed is the pool's again.

namespace {

using support::Data;
using support::Random;

using Evicting = support::List<lacuna::SnapKv, lacuna::SnapKvOf<lacuna::Ratio>, lacuna::SnapKvOf<lacuna::Dispersion>,
                               lacuna::SnapKvOf<lacuna::Sublinear<lacuna::FixedBudget>>, lacuna::AdaSnapKv,
                               lacuna::CoverageSnapKv, lacuna::OriginalSnapKv, lacuna::OriginalAdaKv, lacuna::Tova,
                               lacuna::OriginalTova, lacuna::H2o, lacuna::H2oPerQuery>;

/// Tokens of a head that do not fit the pages it holds, or pages that it holds for nothing.
template <class Case>
std::string explain_pages(Case const& c) {
  std::int64_t const used = c.pool().pages() - c.pool().free_pages();
  return used == c.pages_in_use() ? "" : std::to_string(used) + " pages for " + std::to_string(c.pages_in_use());
}

template <class M>
std::string explain_kept(M const& method, lacuna::TokenIndex const& index, std::int64_t len) {
  if constexpr (std::is_same_v<decltype(method.budget), lacuna::FixedBudget>)
    for (std::int64_t head = 0; head < index.heads(); ++head)
      if (index.counts(head) != std::min(method.budget.tokens, len)) return "not as many as the budget says";
  return support::explain_counts(method, index, len);
}

template <class T, class M>
std::string forgets_and_goes_on(std::uint64_t seed) {
  Random random(seed);
  constexpr std::array<std::int64_t, 9> kPages{1, 2, 5, 8, 16, 48, 64, 100, 256};
  constexpr std::array<std::int64_t, 6> kDims{3, 32, 64, 96, 128, 256};
  constexpr bool step_evicts = M::moment == lacuna::Moment::evict_each_step;
  std::int64_t const prompt = 1 + random.below(70), steps = 1 + random.below(10),
                     group = support::kGroups[static_cast<std::size_t>(random.below(9))];
  std::int64_t const heads_kv = 1 + random.below(3), total = prompt + steps;
  auto const all = support::make_inputs<T>(
      {total, total, heads_kv, group, kDims[seed % 6]},
      std::array<Data, 3>{Data::random, Data::ties, Data::one_hot}[static_cast<std::size_t>(random.below(3))],
      random.bits());
  M method;
  support::vary_method(method, random, heads_kv);
  if constexpr (requires { method.budget.share; }) method.budget.share = std::max(method.budget.share, 0.5);
  if constexpr (std::is_same_v<decltype(method.budget), lacuna::Ratio> || requires { method.budget.reference_tokens; })
    method.selector.sink_tokens = method.selector.recent_tokens = 0;
  support::EvictionCase<M, T> c(method, all, total, prompt, kPages[seed % 9]);
  auto const turn = [&](std::int64_t tokens, bool retains) -> std::string {
    if (std::string const why = c.append(tokens); !why.empty()) return why;
    std::int64_t const held = static_cast<std::int64_t>(c.held()[0].size());
    if (std::string const why = c.run(tokens); !why.empty()) return why;
    if (!retains) return explain_pages(c);
    if (std::string const why = explain_kept(method, c.index(), held); !why.empty()) return why;
    if (std::string const why = c.retain(); !why.empty()) return why;
    return explain_pages(c);
  };
  if (std::string const why = turn(prompt, true); !why.empty()) return "prompt: " + why;
  for (std::int64_t step = 0; step < steps; ++step)
    if (std::string const why = turn(1, step_evicts); !why.empty()) return "step " + std::to_string(step) + ": " + why;
  return "";
}

template <class T>
void every_method_forgets() {
  support::each_method(Evicting{}, support::property_cases(27),
                       []<class M>(std::uint64_t seed) { return forgets_and_goes_on<T, M>(seed); });
}

TEST_CASE("property: what follows an eviction is dense attention under a mask, every method", "[properties]") {
  every_method_forgets<float>();
}

TEST_CASE("property: what follows an eviction in 16 bits is dense attention under a mask, every method",
          "[properties]") {
  every_method_forgets<lacuna::bfloat16>();
  every_method_forgets<lacuna::half>();
}

}  // namespace
