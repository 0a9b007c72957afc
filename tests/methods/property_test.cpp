#include "support/property.hpp"

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

// Random shapes, layouts, masks, numbers and parameters for every method. Whatever comes: the answer is attention over
// exactly what the index keeps, in exactly the planned memory, with the same bits in any layout and for any workers.

namespace {

using support::Data;
using support::Layout;
using support::Random;

template <class... Methods>
struct List {};
using Methods =
    List<lacuna::VerticalSlashOf<16>, lacuna::VerticalSlashGqaOf<8>, lacuna::FlexPrefillOf<16>,
         lacuna::OriginalFlexPrefillOf<16, 16>, lacuna::BlockSparseOf<8>, lacuna::BlockSparseGqa,
         lacuna::BlockTopPOf<8>, lacuna::BlockAntidiagonalOf<16>, lacuna::XAttentionOf<32>, lacuna::SpargeOf<8>,
         lacuna::QueryAwareBlocksOf<16>, lacuna::Streaming, lacuna::DuoPrefill, lacuna::Dense, lacuna::SnapKv,
         lacuna::AdaSnapKv, lacuna::CoverageSnapKv, lacuna::OriginalSnapKv, lacuna::OriginalAdaKv, lacuna::QuestOf<8>,
         lacuna::Quest, lacuna::AdaQuest, lacuna::QuestTopPOf<8>, lacuna::Tova, lacuna::OriginalTova,
         lacuna::Method<lacuna::Block<16>, lacuna::RandomSelector, lacuna::Sublinear<lacuna::FixedBudget>,
                        lacuna::ContiguousCache>,
         lacuna::Method<lacuna::Page<4>, lacuna::OracleSelector, lacuna::Dispersion, lacuna::PagedCache>>;

std::vector<std::uint8_t> const classes{1, 0, 1, 1};

/// Parameters that fit a problem of `len` tokens, whatever members a word has.
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
  if constexpr (std::is_same_v<W, lacuna::GivenHeads>) word.second = {classes.data(), {heads_kv}, {1}};
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

reference::Inputs random_inputs(Random& random, bool one_query, Data data) {
  constexpr std::array<std::int64_t, 9> kGroups{1, 2, 3, 4, 5, 6, 7, 8, 16};
  constexpr std::array<std::int64_t, 10> kDims{1, 3, 16, 20, 32, 64, 80, 96, 128, 256};
  std::int64_t const len_k = 1 + random.below(random.below(4) == 0 ? 200 : 90);
  std::int64_t const len_q = one_query ? 1 : random.below(3) == 0 ? 1 + random.below(len_k) : len_k;
  std::int64_t const group = kGroups[static_cast<std::size_t>(random.below(9))];
  std::int64_t const heads_kv = 1 + random.below(group > 4 ? 1 : 3);
  std::int64_t const dim = kDims[static_cast<std::size_t>(random.below(one_query ? 10 : 6))];
  auto in = support::make_inputs<float>({len_q, len_k, heads_kv, group, dim}, data, random.bits());
  if (random.below(3) == 0) in.window_tokens = 1 + random.below(len_k + 10);
  if (data == Data::random) {
    if (random.below(4) == 0) in.soft_cap = 0.5 + 5.0 * random.uniform();
    if (random.below(4) == 0)
      for (std::int64_t head = 0; head < in.heads_q; ++head) in.sink_logits.push_back(random.normal());
    for (double& logit : in.sink_logits) logit = support::round_to<float>(logit);
  }
  return in;
}

/// Empty, or what is wrong with an answer: it should be attention over what the index keeps.
template <class M>
std::string explain(support::MethodRun<M> const& run, reference::Inputs const& in, support::ProblemCase<float>& c,
                    Data data) {
  if (!c.exactly_the_answer_was_written()) return "not exactly the answer was written";
  double const share = lacuna::density(run.index(), in.window_tokens);
  if (!(share >= 0.0 && share <= 1.0 + 1e-12)) return "density " + std::to_string(share);
  auto const exact = reference::attend(in, [&](std::int64_t head, std::int64_t row) {
    return lacuna::forgets(M::moment) ? reference::dense_keys(in, row) : support::keys_of(run.index(), in, head, row);
  });
  return support::explain_answer(c, exact, data);
}

template <class M>
std::int64_t page_of(M const& method) {
  if constexpr (requires { method.unit.tokens(1); })
    return method.unit.tokens(1);
  else
    return 16;
}

bool same_bits(std::vector<double> const& a, std::vector<double> const& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double x, double y) { return x == y || (x != x && y != y); });
}

/// The answer equals the oracle's, and another layout and another order of workers give the same bits.
template <class M>
std::string holds(M const& method, reference::Inputs const& in, Layout const& layout, Data data) {
  std::vector<double> first;
  for (int turn = 0; turn < 2; ++turn) {
    support::BoundsCase<float> c(in, page_of(method), turn == 0 ? Layout{} : layout);
    support::MethodRun<M> run(method, c.problem(), turn == 0 ? lacuna::Cpu{} : support::backwards(3));
    if (std::string const why = run.run(c.problem(), c.problem_case().out()); !why.empty()) return why;
    if (turn == 0) {
      if (std::string const why = explain(run, in, c.problem_case(), data); !why.empty()) return why;
      first = c.problem_case().answer();
    } else if (!same_bits(first, c.problem_case().answer())) {
      return "another layout or another order of workers changes a bit";
    }
  }
  return "";
}

template <class M>
std::string one_case(std::uint64_t seed) {
  Random random(seed);
  constexpr std::array<Data, 6> kData{Data::random,  Data::random, Data::ties,
                                      Data::nan_key, Data::huge,   Data::infinite_query};
  Data const data = kData[static_cast<std::size_t>(random.below(6))];
  auto const in = random_inputs(random, M::moment == lacuna::Moment::each_step, data);
  M method;
  vary_method(method, random, in.heads_kv);
  auto const layouts = support::layouts();
  return holds(method, in, layouts[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(layouts.size())))],
               data);
}

/// Parameters that leave nothing out.
template <class W>
void make_full(W& word) {
  if constexpr (requires { word.inner; }) make_full(word.inner);
  if constexpr (requires { word.tokens = std::int64_t{}; }) word.tokens = 4096;
  if constexpr (requires { word.columns = word.diagonals = std::int64_t{}; }) word.columns = word.diagonals = 4096;
  if constexpr (requires { word.share = double{}; }) word.share = 1.0;
  if constexpr (requires { word.floor_tokens = std::int64_t{}; }) word.floor_tokens = 200;
  if constexpr (requires { word.window_tokens = std::int64_t{}; }) word.window_tokens = 4096;
  if constexpr (requires { word.candidate_tokens = std::int64_t{}; }) word.candidate_tokens = 4096;
}

template <class M>
void make_method_full(M& method) {
  if constexpr (requires { method.unit; }) {
    make_full(method.selector);
    make_full(method.budget);
  } else if constexpr (requires { method.chooser; }) {
    make_method_full(method.first);
    make_method_full(method.second);
  } else {
    make_full(method);
  }
}

/// With nothing left out the density is 1, and the answer dense attention's.
template <class M>
std::string full_is_dense(std::uint64_t seed) {
  Random random(seed);
  auto const in = random_inputs(random, M::moment == lacuna::Moment::each_step, Data::random);
  M method;
  vary_method(method, random, in.heads_kv);
  make_method_full(method);
  support::BoundsCase<float> c(in, page_of(method));
  support::MethodRun<M> run(method, c.problem());
  if (std::string const why = run.run(c.problem(), c.problem_case().out()); !why.empty()) return why;
  double const share = lacuna::density(run.index(), in.window_tokens);
  if (share != 1.0) return "density " + std::to_string(share);
  auto const exact =
      reference::attend(in, [&](std::int64_t, std::int64_t row) { return reference::dense_keys(in, row); });
  return support::explain_answer(c.problem_case(), exact);
}

/// Heads of one pool compete, and ties go to the lower; those of a list are told apart by their places.
template <class M>
constexpr bool kHeadsAreAlike = true;
template <class A, class B>
constexpr bool kHeadsAreAlike<lacuna::HeadSplit<A, B>> = false;
template <class U, class S, template <class> class K>
constexpr bool kHeadsAreAlike<lacuna::Method<U, S, lacuna::AdaptiveHeads, K>> = false;
template <class U, class S, template <class> class K>
constexpr bool kHeadsAreAlike<lacuna::Method<U, S, lacuna::Dispersion, K>> = false;
template <class U, class B, template <class> class K>
constexpr bool kHeadsAreAlike<lacuna::Method<U, lacuna::RandomSelector, B, K>> = false;

/// KV heads in reverse, each with its group: the answers are those of before in reverse, to the bit.
template <class M>
std::string reversed_heads_reverse(std::uint64_t seed) {
  if constexpr (!kHeadsAreAlike<M>) return "";
  Random random(seed);
  auto in = random_inputs(random, M::moment == lacuna::Moment::each_step, Data::random);
  M method;
  vary_method(method, random, in.heads_kv);
  auto reversed = in;
  auto const reverse = [&](std::vector<double>& to, std::vector<double> const& from, std::int64_t block) {
    std::int64_t const row = block * in.heads_kv;
    for (std::size_t e = 0; e < from.size(); ++e) {
      std::int64_t const at = static_cast<std::int64_t>(e), head = at % row / block;
      to[static_cast<std::size_t>(at / row * row + (in.heads_kv - 1 - head) * block + at % block)] = from[e];
    }
  };
  reverse(reversed.q, in.q, in.group() * in.dim);
  reverse(reversed.k, in.k, in.dim);
  reverse(reversed.v, in.v, in.dim);
  reverse(reversed.sink_logits, in.sink_logits, in.group());
  std::vector<double> answers[2];
  for (auto const* one : {&in, &reversed}) {
    support::BoundsCase<float> c(*one, page_of(method));
    support::MethodRun<M> run(method, c.problem());
    if (std::string const why = run.run(c.problem(), c.problem_case().out()); !why.empty()) return why;
    answers[one == &in ? 0 : 1] = c.problem_case().answer();
  }
  auto const outs = static_cast<std::ptrdiff_t>(in.len_q * in.heads_q * in.dim);
  std::vector<double> const out(answers[0].begin(), answers[0].begin() + outs),
      lse(answers[0].begin() + outs, answers[0].end());
  auto expected_out = out, expected_lse = lse;
  reverse(expected_out, out, in.group() * in.dim);
  reverse(expected_lse, lse, in.group());
  expected_out.insert(expected_out.end(), expected_lse.begin(), expected_lse.end());
  return same_bits(expected_out, answers[1]) ? "" : "heads do not answer for themselves";
}

/// What every method must survive, one thing at a time.
template <class M>
std::string checklist() {
  bool const step = M::moment == lacuna::Moment::each_step;
  for (std::int64_t len : {1, 16, 49})
    for (std::int64_t group : {1, 5, 16})
      for (Data data : {Data::random, Data::ties, Data::tiny, Data::nan_key, Data::infinite_query}) {
        auto const in = support::make_inputs<float>({step ? 1 : len, len, group > 5 ? 1 : 2, group, 20}, data, 7);
        M method;
        Random random(static_cast<std::uint64_t>(len));
        vary_method(method, random, in.heads_kv);
        if (std::string const why = holds(method, in, {true, 3, 8}, data); !why.empty())
          return why + ", len " + std::to_string(len) + ", group " + std::to_string(group) + ", " + name_of(data);
      }
  return "";
}

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

TEST_CASE("property: any shape, layout, mask, number and parameter, every method", "[properties]") {
  each_method(Methods{}, support::property_cases(60), []<class M>(std::uint64_t seed) { return one_case<M>(seed); });
}

TEST_CASE("property: a budget of everything is dense attention, every method", "[properties]") {
  each_method(Methods{}, support::property_cases(15),
              []<class M>(std::uint64_t seed) { return full_is_dense<M>(seed); });
}

TEST_CASE("property: heads that change places take their answers along, every method", "[properties]") {
  each_method(Methods{}, support::property_cases(15),
              []<class M>(std::uint64_t seed) { return reversed_heads_reverse<M>(seed); });
}

TEST_CASE("property: ties, a NaN key, infinite queries, one token, any group and strides, every method",
          "[properties]") {
  each_method(Methods{}, 1, []<class M>(std::uint64_t) { return checklist<M>(); });
}

}  // namespace
