#include "lacuna/kernels/merge_states.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "lacuna/kernels/attend_tokens.hpp"
#include "reference/attention.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_case.hpp"
#include "support/memory.hpp"
#include "support/sizes.hpp"

namespace {

using reference::Units;
using support::Data;
using support::ProblemCase;
using support::Sizes;

/// Keys dealt to parts at random, some parts without any; each part attends alone, then they are joined.
template <class T>
void split_and_merge_equals_whole(Sizes const& sizes, std::int64_t parts, std::uint64_t seed, lacuna::Cpu exec = {}) {
  CAPTURE(name_of(sizes), parts, seed);
  auto const in = support::make_inputs<T>(sizes, Data::random, seed);
  support::Random random(seed);
  std::vector<Units> dealt(static_cast<std::size_t>(parts));
  for (std::int64_t token = 0; token < in.len_k; ++token)
    dealt[static_cast<std::size_t>(random.below(parts) * random.below(2))].push_back(token);
  std::size_t const rows = static_cast<std::size_t>(in.len_q * in.heads_q);
  std::vector<T> outs;
  std::vector<float> lses;
  std::vector<std::int32_t> lens(static_cast<std::size_t>(in.heads_kv), static_cast<std::int32_t>(in.len_k));
  for (Units const& part : dealt) {
    ProblemCase<T> c(in);
    support::IdTable table(std::vector<Units>(static_cast<std::size_t>(in.heads_kv), part));
    std::vector<T> out(rows * static_cast<std::size_t>(in.dim));
    std::vector<float> lse(rows);
    lacuna::Workspace counting;
    lacuna::reserve_attend_tokens(exec, lacuna::shape_of(c.problem()), counting);
    support::GuardedMemory scratch(counting.used_bytes());
    REQUIRE(lacuna::attend_tokens<T>(
        exec, {c.problem(),
               {table.ids(), table.counts(), lacuna::dense_view<std::int32_t, 1>(lens.data(), {in.heads_kv})},
               {lacuna::dense_view<T, 3>(out.data(), {in.len_q, in.heads_q, in.dim}),
                lacuna::dense_view<float, 2>(lse.data(), {in.len_q, in.heads_q})},
               scratch.workspace()}));
    outs.insert(outs.end(), out.begin(), out.end());
    lses.insert(lses.end(), lse.begin(), lse.end());
  }
  ProblemCase<T> whole(in);
  auto const answer = whole.out();
  REQUIRE(lacuna::merge_states<T>(
      exec, {lacuna::dense_view<T const, 4>(outs.data(), {parts, in.len_q, in.heads_q, in.dim}),
             lacuna::dense_view<float const, 3>(lses.data(), {parts, in.len_q, in.heads_q}), answer.out, answer.lse}));
  REQUIRE(whole.exactly_the_answer_was_written());
  auto const exact = reference::attend(in, [&](std::int64_t, std::int64_t row) { return dense_keys(in, row); });
  REQUIRE(support::explain_answer(whole, exact) == "");
}

TEST_CASE("merge states: split and merge equals whole", "[kernels]") {
  for (Sizes const& sizes : support::continued_sizes())
    for (std::int64_t parts : {1, 2, 5}) split_and_merge_equals_whole<float>(sizes, parts, 3);
  split_and_merge_equals_whole<float>({40, 40, 2, 3, 80}, 7, 4, support::backwards(3));
}

TEST_CASE("merge states: no keys, broken parts, refusals", "[kernels]") {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  float const nan = std::nanf("");
  float out = 7.0F, lse = 7.0F;
  auto const merged = [&](std::vector<float> outs, std::vector<float> lses) {
    std::int64_t const parts = static_cast<std::int64_t>(outs.size());
    return lacuna::merge_states<float>(
        lacuna::Cpu{}, {lacuna::dense_view<float const, 4>(outs.data(), {parts, 1, 1, 1}),
                        lacuna::dense_view<float const, 3>(lses.data(), {static_cast<std::int64_t>(lses.size()), 1, 1}),
                        lacuna::dense_view<float, 3>(&out, {1, 1, 1}), lacuna::dense_view<float, 2>(&lse, {1, 1})});
  };
  REQUIRE(merged({nan, nan}, {-kInf, -kInf}));
  CHECK((out == 0.0F && lse == -kInf));
  REQUIRE(merged({}, {}));
  CHECK((out == 0.0F && lse == -kInf));
  REQUIRE(merged({nan, 3.0F}, {-kInf, 2.0F}));
  CHECK((out == 3.0F && lse == 2.0F));
  REQUIRE(merged({1.0F, 3.0F}, {500.0F, 500.0F}));
  CHECK((out == 2.0F && lse == Approx(500.0 + std::log(2.0))));
  for (auto const& order : {std::vector<float>{nan, 2.0F}, std::vector<float>{2.0F, nan}}) {
    REQUIRE(merged({1.0F, 3.0F}, order));
    CHECK((std::isnan(out) && std::isnan(lse)));
  }
  CHECK(std::string(merged({1.0F, 3.0F}, {1.0F}).message) == "merge_states: part_lse must be [parts, len_q, heads_q]");
  float const one = 1.0F;
  lacuna::MergeStatesArgs<float> args{{&one, {1, 1, 1, 2}, {2, 2, 2, 1}},
                                      {&one, {1, 1, 1}, {1, 1, 1}},
                                      lacuna::dense_view<float, 3>(&out, {1, 1, 1}),
                                      {}};
  CHECK(std::string(args.check().message) == "merge_states: each part must have the extents of out");
  args.part_out.extents[3] = 1;
  CHECK(args.check());
  args.lse = lacuna::dense_view<float, 2>(&lse, {1, 2});
  CHECK(std::string(args.check().message) == "merge_states: lse must be null or [len_q, heads_q]");
}

}  // namespace
