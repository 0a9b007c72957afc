#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "support/bounds_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_keys.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

// Random problems and parameters for whatever method, and what must hold of its answer: attention over exactly what the
// index keeps, in exactly the planned memory, no more than was allotted, the same bits in any layout and for any
// workers.

namespace support {

template <class... Methods>
struct List {};
using AnyMethods = List<
    lacuna::VerticalSlashOf<16>, lacuna::VerticalSlashGqaOf<8>, lacuna::FlexPrefillOf<16>,
    lacuna::OriginalFlexPrefillOf<16, 16>, lacuna::BlockSparseOf<8>, lacuna::BlockSparseGqa, lacuna::BlockTopPOf<8>,
    lacuna::BlockAntidiagonalOf<16>, lacuna::XAttentionOf<32>, lacuna::SpargeOf<8>, lacuna::QueryAwareBlocksOf<16>,
    lacuna::Streaming, lacuna::DuoPrefill, lacuna::Dense, lacuna::SnapKv, lacuna::AdaSnapKv, lacuna::CoverageSnapKv,
    lacuna::OriginalSnapKv, lacuna::OriginalAdaKv, lacuna::QuestOf<8>, lacuna::Quest, lacuna::AdaQuest,
    lacuna::QuestTopPOf<8>, lacuna::TwilightOf<8>, lacuna::DuoQuest, lacuna::DuoVerticalSlash, lacuna::Tova,
    lacuna::OriginalTova, lacuna::H2o, lacuna::H2oPerQuery, lacuna::QuestOf<8, lacuna::Sublinear<lacuna::FixedBudget>>,
    lacuna::QuestOf<8, lacuna::WithCurrent<lacuna::FixedBudget>>,
    lacuna::XAttentionOf<32, lacuna::PerHeadShare<lacuna::AnchoredTopMass>>,
    lacuna::Method<lacuna::VerticalSlashUnit<16>, lacuna::OracleSelector, lacuna::FixedPair, lacuna::ContiguousCache>,
    lacuna::Method<lacuna::Token, lacuna::RandomSelector, lacuna::Ratio, lacuna::EvictingCache>,
    lacuna::Method<lacuna::Block<16>, lacuna::RandomSelector, lacuna::Sublinear<lacuna::FixedBudget>,
                   lacuna::ContiguousCache>,
    lacuna::Method<lacuna::Page<4>, lacuna::OracleSelector, lacuna::Dispersion, lacuna::PagedCache>>;

/// Calls f.operator()<M>(seed) `cases` times for each method; it returns empty, or what is wrong.
template <class... M, class F>
void each_method(List<M...>, std::int64_t cases, F const& f) {
  std::int64_t at = 0;
  auto const each = [&]<class One>() {
    for (std::int64_t i = 0; i < cases; ++i) {
      std::uint64_t const seed = static_cast<std::uint64_t>(at * 1000003 + i);
      CAPTURE(at, seed);
      REQUIRE(f.template operator()<One>(seed) == "");
    }
    ++at;
  };
  (each.template operator()<M>(), ...);
}

inline std::vector<std::uint8_t> const classes_of_heads{1, 0, 1, 1};
inline std::vector<float> const shares_of_heads{.6F, .9F, .3F, .5F, .8F, 1.F, .2F, .7F, .4F, .6F, .5F, .9F,
                                                .6F, .9F, .3F, .5F, .8F, 1.F, .2F, .7F, .4F, .6F, .5F, .9F};

/// Parameters that fit a problem of about a hundred tokens, whatever members a word has.
template <class W>
void vary(W& word, Random& random, std::int64_t unit, std::int64_t heads_kv) {
  std::int64_t const tokens = unit * (1 + random.below(96 / unit));
  if constexpr (requires { word.inner; }) vary(word.inner, random, unit, heads_kv);
  if constexpr (requires { word.window = std::int64_t{}; }) word.window = 1 + random.below(40);
  if constexpr (requires { word.width = std::int64_t{}; }) word.width = 1 + 2 * random.below(5);
  if constexpr (requires { word.tokens = std::int64_t{}; }) word.tokens = tokens + 2 * unit + 16;
  if constexpr (requires { word.tokens = std::int64_t{}; }) word.tokens = word.tokens / unit * unit;
  if constexpr (requires { word.columns = word.diagonals = std::int64_t{}; })
    word.columns = 1 + random.below(60), word.diagonals = 1 + random.below(60);
  if constexpr (requires { word.floor_tokens = std::int64_t{}; }) word.floor_tokens = 17 + random.below(40);
  if constexpr (requires { word.share = double{}; }) word.share = random.below(6) == 0 ? 1.0 : random.uniform();
  if constexpr (requires { word.shares; })
    word.shares = lacuna::dense_view<float const, 1>(shares_of_heads.data(), {24});
  if constexpr (requires { word.sink_tokens = std::int64_t{}; }) word.sink_tokens = random.below(5);
  if constexpr (requires { word.recent_tokens = std::int64_t{}; }) word.recent_tokens = random.below(12);
  if constexpr (requires { word.window_tokens = std::int64_t{}; }) word.window_tokens = 1 + random.below(30);
  if constexpr (requires { word.dense_queries = std::int64_t{}; }) word.dense_queries = random.below(9);
  if constexpr (requires { word.reference_tokens = std::int64_t{}; }) word.reference_tokens = 1 + random.below(300);
  if constexpr (requires { word.candidate_tokens = std::int64_t{}; }) word.candidate_tokens = tokens;
  if constexpr (requires { word.threshold = float{}; }) word.threshold = static_cast<float>(random.uniform() - 0.3);
  if constexpr (std::is_same_v<W, lacuna::Divergence>) word.threshold = random.uniform(), word.block_tokens = 16;
  if constexpr (std::is_same_v<W, lacuna::Antidiagonal>) word.stride = std::int64_t{1} << random.below(4);
  if constexpr (requires { word.share_group = true; }) word.share_group = random.below(2) == 0;
  if constexpr (std::is_same_v<W, lacuna::GivenHeads>) word.second = {classes_of_heads.data(), {heads_kv}, {1}};
}

template <class M>
void vary_method(M& method, Random& random, std::int64_t heads_kv) {
  if constexpr (requires { method.unit; }) {
    vary(method.selector, random, method.unit.tokens(1), heads_kv);
    vary(method.budget, random, method.unit.tokens(1), heads_kv);
  } else if constexpr (requires { method.chooser; }) {
    vary_method(method.first, random, heads_kv);
    vary_method(method.second, random, heads_kv);
    vary(method.chooser, random, 1, heads_kv);
  } else {
    vary(method, random, 1, heads_kv);
  }
}

inline constexpr std::array<std::int64_t, 9> kGroups{1, 2, 3, 4, 5, 6, 7, 8, 16};

/// With some chance of a window, a cap and sinks.
template <class T>
reference::Inputs random_inputs(Random& random, bool one_query, Data data, std::int64_t group, std::int64_t dim,
                                std::int64_t longest) {
  std::int64_t const len_k = 1 + random.below(longest);
  std::int64_t const len_q = one_query ? 1 : random.below(3) == 0 ? 1 + random.below(len_k) : len_k;
  std::int64_t const heads_kv = 1 + random.below(group > 4 ? 1 : 3);
  auto in = make_inputs<T>({len_q, len_k, heads_kv, group, dim}, data, random.bits());
  if (random.below(3) == 0) in.window_tokens = 1 + random.below(len_k + 10);
  if (data == Data::random) {
    if (random.below(4) == 0) in.soft_cap = 0.5 + 5.0 * random.uniform();
    if (random.below(4) == 0)
      for (std::int64_t head = 0; head < in.heads_q; ++head) in.sink_logits.push_back(random.normal());
    for (double& logit : in.sink_logits) logit = round_to<float>(logit);
  }
  return in;
}

/// Empty, or which choice keeps more than it was allotted. The current page comes on top of a budget, and columns and
/// diagonals of what is short are all kept.
template <class M, class Index>
std::string explain_counts(M const& method, Index const& index, std::int64_t len_k) {
  auto const too_many = [](std::int64_t kept, std::int64_t most) {
    return kept <= most ? "" : std::to_string(kept) + " units are kept of at most " + std::to_string(most);
  };
  std::string why;
  if constexpr (requires { method.unit; }) {
    std::int64_t const most = method.budget.limit(method.unit, 0, len_k);
    if constexpr (std::is_same_v<Index, lacuna::BlockIndex>)
      for (std::int64_t head = 0; head < index.heads(); ++head)
        for (std::int64_t r = 0; r < index.rows(); ++r) why += too_many(index.counts(head, r), most);
    if constexpr (std::is_same_v<Index, lacuna::PageIndex>)
      for (std::int64_t row = 0; row < index.rows(); ++row) why += too_many(index.counts(row), most + 1);
    if constexpr (std::is_same_v<Index, lacuna::TokenIndex>)
      for (std::int64_t head = 0; head < index.heads(); ++head) why += too_many(index.counts(head), most);
    if constexpr (requires { method.budget.mean(method.unit, 0, len_k), method.budget.floor_share; }) {
      std::int64_t all = 0, current = std::is_same_v<Index, lacuna::PageIndex> ? 1 : 0, rows = index.counts.extent(0);
      for (std::int64_t row = 0; row < rows; ++row) all += index.counts(row);
      why += too_many(all, rows * (method.budget.mean(method.unit, 0, len_k) + current));
    }
  }
  return why;
}

/// Empty, or what is wrong with an answer: it should be attention over what the index keeps.
template <class M, class T>
std::string explain_run(M const& method, MethodRun<M> const& run, reference::Inputs const& in, ProblemCase<T>& c,
                        Data data) {
  if (!c.exactly_the_answer_was_written()) return "not exactly the answer was written";
  double const share = lacuna::density(run.index(), in.window_tokens);
  if (!(share >= 0.0 && share <= 1.0 + 1e-12)) return "density " + std::to_string(share);
  if (std::string const why = explain_counts(method, run.index(), in.len_k); !why.empty()) return why;
  auto const exact = reference::attend(in, [&](std::int64_t head, std::int64_t row) {
    return lacuna::forgets(M::moment) ? reference::dense_keys(in, row) : keys_of(run.index(), in, head, row);
  });
  return explain_answer(c, exact, data);
}

template <class M>
std::int64_t page_of(M const& method) {
  if constexpr (requires { method.unit.tokens(1); })
    return method.unit.tokens(1);
  else
    return 16;
}

inline bool same_numbers(std::vector<double> const& a, std::vector<double> const& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double x, double y) { return x == y || (x != x && y != y); });
}

/// The answer equals the oracle's, and another layout and another order of workers give the same bits.
template <class T, class M>
std::string holds(M const& method, reference::Inputs const& in, Layout const& layout, Data data) {
  std::vector<double> first;
  for (int turn = 0; turn < 2; ++turn) {
    BoundsCase<T> c(in, page_of(method), turn == 0 ? Layout{} : layout);
    MethodRun<M> run(method, c.problem(), turn == 0 ? lacuna::Cpu{} : backwards(3));
    if (std::string const why = run.run(c.problem(), c.problem_case().out()); !why.empty()) return why;
    if (turn == 0) {
      if (std::string const why = explain_run(method, run, in, c.problem_case(), data); !why.empty()) return why;
      first = c.problem_case().answer();
    } else if (!same_numbers(first, c.problem_case().answer())) {
      return "another layout or another order of workers changes a bit";
    }
  }
  return "";
}

inline Layout any_layout(Random& random) {
  auto const all = layouts();
  return all[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(all.size())))];
}

}  // namespace support
