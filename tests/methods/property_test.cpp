#include "support/property.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "support/any_method.hpp"
#include "support/catch.hpp"

namespace {

using support::AnyMethods;
using support::Data;
using support::each_method;
using support::Random;

/// Any shape, up to 90 tokens and sometimes 200.
template <class M>
reference::Inputs any_inputs(Random& random, Data data) {
  constexpr std::array<std::int64_t, 10> kDims{1, 3, 16, 20, 32, 64, 80, 96, 128, 256};
  bool const one_query = M::moment == lacuna::Moment::each_step;
  std::int64_t const longest = random.below(4) == 0 ? 200 : 90;
  std::int64_t const group = support::kGroups[static_cast<std::size_t>(random.below(9))];
  std::int64_t const dim = kDims[static_cast<std::size_t>(random.below(one_query ? 10 : 6))];
  return support::random_inputs<float>(random, one_query, data, group, dim, longest);
}

template <class M>
std::string one_case(std::uint64_t seed) {
  Random random(seed);
  constexpr std::array<Data, 8> kData{Data::random, Data::random,         Data::ties,    Data::nan_key,
                                      Data::huge,   Data::infinite_query, Data::one_hot, Data::vast};
  Data const data = kData[static_cast<std::size_t>(random.below(8))];
  auto const in = any_inputs<M>(random, data);
  M method;
  support::vary_method(method, random, in.heads_kv);
  return support::holds<float>(method, in, support::any_layout(random), data);
}

std::vector<float> const kWholeShares(24, 1.0F);

/// Parameters that leave nothing out.
template <class W>
void make_full(W& word) {
  if constexpr (requires { word.inner; }) make_full(word.inner);
  if constexpr (requires { word.tokens = std::int64_t{}; }) word.tokens = 4096;
  if constexpr (requires { word.columns = word.diagonals = std::int64_t{}; }) word.columns = word.diagonals = 4096;
  if constexpr (requires { word.share = double{}; }) word.share = 1.0;
  if constexpr (requires { word.shares; }) word.shares = lacuna::dense_view<float const, 1>(kWholeShares.data(), {24});
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
  auto const in = any_inputs<M>(random, Data::random);
  M method;
  support::vary_method(method, random, in.heads_kv);
  make_method_full(method);
  support::BoundsCase<float> c(in, support::page_of(method));
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
template <class U, class S, class B, template <class> class K>
constexpr bool kHeadsAreAlike<lacuna::Method<U, S, lacuna::PerHeadShare<B>, K>> = false;
template <class U, class B, template <class> class K>
constexpr bool kHeadsAreAlike<lacuna::Method<U, lacuna::RandomSelector, B, K>> = false;

/// KV heads in reverse, each with its group: the answers are those of before in reverse, to the bit.
template <class M>
std::string reversed_heads_reverse(std::uint64_t seed) {
  if constexpr (!kHeadsAreAlike<M>) return "";
  Random random(seed);
  auto in = any_inputs<M>(random, Data::random);
  M method;
  support::vary_method(method, random, in.heads_kv);
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
    support::BoundsCase<float> c(*one, support::page_of(method));
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
  return support::same_numbers(expected_out, answers[1]) ? "" : "heads do not answer for themselves";
}

/// What every method must survive, one thing at a time.
template <class M>
std::string checklist() {
  bool const step = M::moment == lacuna::Moment::each_step;
  for (std::int64_t len : {1, 16, 49})
    for (std::int64_t group : {1, 5, 16})
      for (Data data :
           {Data::random, Data::ties, Data::tiny, Data::nan_key, Data::infinite_query, Data::one_hot, Data::vast}) {
        auto const in = support::make_inputs<float>({step ? 1 : len, len, group > 5 ? 1 : 2, group, 20}, data, 7);
        M method;
        Random random(static_cast<std::uint64_t>(len));
        support::vary_method(method, random, in.heads_kv);
        if (std::string const why = support::holds<float>(method, in, {true, 3, 8}, data); !why.empty())
          return why + ", len " + std::to_string(len) + ", group " + std::to_string(group) + ", " + name_of(data);
      }
  return "";
}

TEST_CASE("property: any shape, layout, mask, number and parameter, every method", "[properties]") {
  each_method(AnyMethods{}, support::property_cases(100),
              []<class M>(std::uint64_t seed) { return one_case<M>(seed); });
}

TEST_CASE("property: a budget of everything is dense attention, every method", "[properties]") {
  each_method(AnyMethods{}, support::property_cases(30),
              []<class M>(std::uint64_t seed) { return full_is_dense<M>(seed); });
}

TEST_CASE("property: heads that change places take their answers along, every method", "[properties]") {
  each_method(AnyMethods{}, support::property_cases(30),
              []<class M>(std::uint64_t seed) { return reversed_heads_reverse<M>(seed); });
}

TEST_CASE("property: ties, a NaN key, infinite queries, one hot key, one token, any group and strides, every method",
          "[properties]") {
  each_method(AnyMethods{}, 1, []<class M>(std::uint64_t) { return checklist<M>(); });
}

}  // namespace
