#include "lacuna/kernels/attend_tokens.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "reference/attention.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_case.hpp"
#include "support/kernel_run.hpp"
#include "support/sizes.hpp"

namespace {

using support::Data;
using support::ProblemCase;
using support::Sizes;

/// A token index made by hand, every head of the same length.
struct TokenCase {
  std::vector<reference::Units> tokens;
  support::IdTable table;
  std::vector<std::int32_t> lens;

  TokenCase(std::vector<reference::Units> kept, std::int64_t len)
      : tokens(std::move(kept)), table(tokens), lens(tokens.size(), static_cast<std::int32_t>(len)) {}
  lacuna::TokenIndex index() {
    return {table.ids(), table.counts(),
            lacuna::dense_view<std::int32_t, 1>(lens.data(), {static_cast<std::int64_t>(lens.size())})};
  }
  reference::Keys keys_up_to(std::int64_t head, std::int64_t position) const {
    reference::Keys keys = tokens[static_cast<std::size_t>(head)];
    keys.erase(std::upper_bound(keys.begin(), keys.end(), position), keys.end());
    return keys;
  }
};

TokenCase random_tokens(Sizes const& sizes) {
  support::Random random(static_cast<std::uint64_t>(sizes.len_k));
  std::vector<reference::Units> tokens;
  for (std::int64_t head = 0; head < sizes.heads_kv; ++head)
    tokens.push_back(random.subset(sizes.len_k, random.uniform() * 0.6));
  return {tokens, sizes.len_k};
}

template <class T>
std::string attend(ProblemCase<T>& c, TokenCase& kept, lacuna::Cpu exec = {}) {
  auto const problem = c.problem();
  return support::run_in_exact_scratch(
      [&](lacuna::Workspace& w) { lacuna::reserve_attend_tokens(exec, lacuna::shape_of(problem), w); },
      [&](lacuna::Workspace w) {
        return lacuna::attend_tokens(exec, lacuna::AttendTokensArgs<T>{problem, kept.index(), c.out(), w});
      },
      "attend: the workspace is smaller than planned", problem.len_q() == 0);
}

template <class T>
void equals_the_oracle(Sizes const& sizes, Data data, support::Layout const& layout = {}) {
  CAPTURE(name_of(sizes), name_of(data), name_of(layout));
  auto const in = support::make_inputs<T>(sizes, data, 400 + static_cast<std::uint64_t>(sizes.len_k));
  ProblemCase<T> c(in, layout);
  TokenCase kept = random_tokens(sizes);
  REQUIRE(attend(c, kept) == "");
  REQUIRE(c.exactly_the_answer_was_written());
  auto const exact = reference::attend(
      in, [&](std::int64_t head, std::int64_t row) { return kept.keys_up_to(in.head_kv(head), in.position(row)); });
  REQUIRE(support::explain_answer(c, exact, data) == "");
}

TEST_CASE("attend tokens: random tokens equal the oracle, one query or many", "[kernels]") {
  for (auto const& list : {support::prompt_sizes(), support::continued_sizes()}) {
    for (Sizes const& sizes : list) {
      equals_the_oracle<float>(sizes, Data::random);
      equals_the_oracle<lacuna::bfloat16>(sizes, Data::random);
    }
  }
}

TEST_CASE("attend tokens: any layout and unusual data equal the oracle", "[kernels]") {
  for (auto const& layout : support::layouts()) equals_the_oracle<float>({2, 200, 2, 2, 32}, Data::random, layout);
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key, Data::infinite_query})
    equals_the_oracle<float>({5, 150, 2, 2, 32}, data);
}

TEST_CASE("attend tokens: a head that keeps nothing answers zero and minus infinity", "[kernels]") {
  auto const in = support::make_inputs<float>({1, 50, 2, 1, 16}, Data::random, 3);
  ProblemCase<float> c(in);
  TokenCase kept({{}, {3, 49}}, 50);
  REQUIRE(attend(c, kept) == "");
  CHECK(c.out_at(0, 0, 0) == 0.0);
  CHECK(c.lse_at(0, 0) == -std::numeric_limits<double>::infinity());
  CHECK(c.lse_at(0, 1) != -std::numeric_limits<double>::infinity());
}

TEST_CASE("attend tokens: any number of workers and any order give the same bits", "[kernels]") {
  lacuna::ThreadPool pool(3);
  Sizes const sizes{40, 2000, 2, 2, 64};
  TokenCase kept = random_tokens(sizes);
  std::vector<double> first;
  for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
    ProblemCase<float> c(support::make_inputs<float>(sizes, Data::random, 7));
    REQUIRE(attend(c, kept, exec) == "");
    if (first.empty()) first = c.answer();
    REQUIRE(c.answer() == first);
  }
}

TEST_CASE("attend tokens: an index of another problem is refused", "[kernels]") {
  ProblemCase<float> c(support::make_inputs<float>({1, 50, 2, 1, 16}, Data::random, 3));
  TokenCase kept({{0}, {3, 49}}, 50);
  support::GuardedMemory memory(1 << 20);
  lacuna::AttendTokensArgs<float> args{c.problem(), kept.index(), c.out(), memory.workspace()};
  args.index.counts.extents[0] = 1;
  CHECK(std::string(lacuna::attend_tokens(lacuna::Cpu{}, args).message) ==
        "attend_tokens: the index must have one row per KV head");
  args.index = kept.index();
  kept.lens[1] = 49;
  CHECK(std::string(lacuna::attend_tokens(lacuna::Cpu{}, args).message) ==
        "attend_tokens: the index was made for another length");
  args.out.out.data = nullptr;
  CHECK(std::string(lacuna::attend_tokens(lacuna::Cpu{}, args).message) == "out: must not be null");
  args.problem.kv.v = nullptr;
  CHECK(std::string(lacuna::attend_tokens(lacuna::Cpu{}, args).message) ==
        "problem: k and v must not be null when tokens are held");
}

}  // namespace
