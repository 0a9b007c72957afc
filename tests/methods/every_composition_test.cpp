#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "support/bounds_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/index_keys.hpp"
#include "support/method_run.hpp"

namespace {

// Every word of each axis, and each wrapper around one word that it takes. What fits together is left to the concepts.
template <class... Types>
struct List {};
template <template <class> class... Stores>
struct StoreList {};

using Units =
    List<lacuna::VerticalSlashUnit<16>, lacuna::Block<16>, lacuna::Page<16>, lacuna::Token, lacuna::StepToken>;
using Selectors = List<lacuna::WindowAttention, lacuna::WindowPeak, lacuna::LastAttention, lacuna::AccumulatedAttention,
                       lacuna::MinMaxBound, lacuna::MeanPool, lacuna::Antidiagonal, lacuna::QueryAware,
                       lacuna::RandomSelector, lacuna::OracleSelector, lacuna::PageAttention<lacuna::MinMaxBound>,
                       lacuna::PageAttention<lacuna::MinMaxBound, true>, lacuna::Normalised<lacuna::MinMaxBound>,
                       lacuna::Normalised<lacuna::MeanPool>, lacuna::GroupShared<lacuna::WindowAttention>,
                       lacuna::GroupShared<lacuna::MeanPool>, lacuna::GroupShared<lacuna::Antidiagonal>,
                       lacuna::Normalised<lacuna::GroupShared<lacuna::MeanPool>>,
                       lacuna::SelfSimilar<lacuna::Normalised<lacuna::MeanPool>>,
                       lacuna::LayerShared<lacuna::LastAttention>, lacuna::PerQuery<lacuna::AccumulatedAttention>,
                       lacuna::Smoothed<lacuna::WindowAttention>, lacuna::BeforeWindow<lacuna::WindowAttention>,
                       lacuna::HighestNear<lacuna::WindowAttention>, lacuna::Anchored<lacuna::WindowAttention>,
                       lacuna::Anchored<lacuna::MinMaxBound>, lacuna::Anchored<lacuna::MeanPool>>;
using Budgets = List<lacuna::FixedBudget, lacuna::FixedPair, lacuna::PerHeadPair, lacuna::Ratio, lacuna::TopMass,
                     lacuna::AnchoredTopMass, lacuna::MassWithin, lacuna::AdaptiveHeads, lacuna::Dispersion,
                     lacuna::AboveCut, lacuna::Sublinear<lacuna::FixedBudget>, lacuna::WithCurrent<lacuna::FixedBudget>,
                     lacuna::PerHeadShare<lacuna::Ratio>>;
using Stores = StoreList<lacuna::ContiguousCache, lacuna::PagedCache, lacuna::EvictingCache, lacuna::AccumulatingCache,
                         lacuna::CodedKeysCache>;

template <class U, class S, class B>
constexpr bool fits() {
  return lacuna::SelectorFor<S, U> && lacuna::BudgetFor<B, U> &&
         (!lacuna::detail::kNeedsMass<B> || lacuna::kMeasuresMass<S>);
}

struct Tally {
  int composed = 0, run = 0;
};

/// Parameters for a problem of about a hundred tokens, whatever members a word has.
std::vector<std::int32_t> const pair_counts(8, 20);
std::vector<float> const head_shares{0.5F, 0.7F, 0.5F, 0.6F};

template <class W>
void make_small(W& word) {
  if constexpr (requires { word.inner; }) make_small(word.inner);
  if constexpr (requires { word.window = std::int64_t{}; }) word.window = 24;
  if constexpr (requires { word.tokens = std::int64_t{}; }) word.tokens = 48;
  if constexpr (requires { word.columns = word.diagonals = std::int64_t{}; }) word.columns = word.diagonals = 20;
  if constexpr (requires { word.floor_tokens = std::int64_t{}; }) word.floor_tokens = 48;
  if constexpr (requires { word.recent_tokens = std::int64_t{}; }) word.recent_tokens = 16;
  if constexpr (requires { word.reference_tokens = std::int64_t{}; }) word.reference_tokens = 100;
  if constexpr (requires { word.candidate_tokens = std::int64_t{}; }) word.candidate_tokens = 96;
  if constexpr (std::is_same_v<W, lacuna::Ratio>) word.share = 0.5;
  if constexpr (std::is_same_v<W, lacuna::PerHeadShare<lacuna::Ratio>>)
    word.shares = lacuna::dense_view<float const, 1>(head_shares.data(), {4});
  if constexpr (std::is_same_v<W, lacuna::PerHeadPair>)
    word.counts = lacuna::dense_view<std::int32_t const, 2>(pair_counts.data(), {4, 2});
}

/// Runs it in exactly the planned memory; the answer must be attention over what the index keeps.
template <class M>
std::string run(M method) {
  make_small(method.selector);
  make_small(method.budget);
  bool const step = M::moment == lacuna::Moment::each_step;
  auto const in = support::make_inputs<float>({step ? 1 : 70, 110, 2, 2, 16}, support::Data::random, 3);
  support::BoundsCase<float> c(in, 16);
  std::vector<float> mass(static_cast<std::size_t>(in.heads_kv * in.len_k));
  c.problem_case().kv().mass = lacuna::dense_view<float, 2>(mass.data(), {in.heads_kv, in.len_k});
  std::vector<std::int8_t> const codes(static_cast<std::size_t>(in.heads_kv * in.len_k * in.dim), 3);
  std::vector<float> const scales(mass.size(), 0.1F);
  c.problem_case().kv().key_codes =
      lacuna::dense_view<std::int8_t const, 3>(codes.data(), {in.heads_kv, in.len_k, in.dim});
  c.problem_case().kv().key_scales = lacuna::dense_view<float const, 2>(scales.data(), {in.heads_kv, in.len_k});
  std::vector<std::int32_t> positions(mass.size());
  for (std::size_t i = 0; i < positions.size(); ++i)
    positions[i] = static_cast<std::int32_t>(i % static_cast<std::size_t>(in.len_k));
  c.problem_case().kv().positions =
      lacuna::dense_view<std::int32_t const, 2>(positions.data(), {in.heads_kv, in.len_k});
  if constexpr (std::is_same_v<decltype(method.budget), lacuna::PerHeadPair>)
    method.budget.counts.extents[0] = lacuna::heads_of(method.selector, method.unit, lacuna::shape_of(c.problem()));
  support::MethodRun<M> run(method, c.problem());
  if (std::string const why = run.run(c.problem(), c.problem_case().out()); !why.empty()) return why;
  auto const exact = reference::attend(in, [&](std::int64_t head, std::int64_t row) {
    return lacuna::forgets(M::moment) ? reference::dense_keys(in, row) : support::keys_of(run.index(), in, head, row);
  });
  double const share = lacuna::density(run.index());
  if (!(share > 0.0 && share <= 1.0)) return "density " + std::to_string(share);
  return support::explain_answer(c.problem_case(), exact);
}

/// A store takes no part in a run, so the first that fits is run for all of them.
template <class U, class S, class B, template <class> class... Fitting>
void with_stores(StoreList<Fitting...>, Tally& tally) {
  bool done = false;
  auto const with_store = [&]<template <class> class K>() {
    if constexpr (lacuna::KvStoreFor<K<float>, U>) {
      static_assert(sizeof(lacuna::Method<U, S, B, K>) > 0);
      ++tally.composed;
    }
  };
  (with_store.template operator()<Fitting>(), ...);
  auto const run_one = [&]<template <class> class K>() {
    if (done) return;
    done = true;
    ++tally.run;
    CHECK(run(lacuna::Method<U, S, B, K>{}) == "");
  };
  if constexpr (lacuna::KvStoreFor<lacuna::ContiguousCache<float>, U>)
    run_one.template operator()<lacuna::ContiguousCache>();
  else if constexpr (lacuna::KvStoreFor<lacuna::PagedCache<float>, U>)
    run_one.template operator()<lacuna::PagedCache>();
  else
    run_one.template operator()<lacuna::EvictingCache>();
}

template <class U, class S, class... B>
void with_budgets(List<B...>, Tally& tally) {
  int at = 0;
  auto const with_budget = [&]<class One>() {
    if constexpr (fits<U, S, One>()) {
      INFO("budget " << at);
      with_stores<U, S, One>(Stores{}, tally);
    }
    ++at;
  };
  (with_budget.template operator()<B>(), ...);
}

template <class U, class... S>
void with_selectors(List<S...>, Tally& tally) {
  int at = 0;
  auto const with_selector = [&]<class One>() {
    INFO("selector " << at++);
    with_budgets<U, One>(Budgets{}, tally);
  };
  (with_selector.template operator()<S>(), ...);
}

template <class... U>
void with_units(List<U...>, Tally& tally) {
  int at = 0;
  auto const with_unit = [&]<class One>() {
    INFO("unit " << at++);
    with_selectors<One>(Selectors{}, tally);
  };
  (with_unit.template operator()<U>(), ...);
}

TEST_CASE("every composition: whatever the concepts let through runs and equals the oracle", "[compositions]") {
  Tally tally;
  with_units(Units{}, tally);
  WARN(tally.composed << " methods composed, " << tally.run << " of them run");
  CHECK(tally.composed >= 2045);
}

}  // namespace
