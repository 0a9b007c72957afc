#include "lacuna/kernels/attend_vertical_slash.hpp"

#include <string>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "reference/attention.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/kernel_run.hpp"
#include "support/sizes.hpp"
#include "support/vertical_slash_case.hpp"

namespace {

using support::Data;
using support::ProblemCase;
using support::Sizes;
using support::VerticalSlashCase;

template <class T>
std::string attend(ProblemCase<T>& c, VerticalSlashCase& kept, lacuna::Cpu exec = {}) {
  auto const problem = c.problem();
  auto const& index = kept.index();
  return support::run_in_exact_scratch(
      [&](lacuna::Workspace& w) {
        lacuna::reserve_attend_vertical_slash(exec, lacuna::shape_of(problem), index.heads(), index.tile, w);
      },
      [&](lacuna::Workspace w) {
        return lacuna::attend_vertical_slash(exec, lacuna::AttendVerticalSlashArgs<T>{problem, index, c.out(), w});
      },
      "attend: the workspace is smaller than planned", problem.len_q() == 0);
}

/// Another random choice of columns and diagonals for each head.
VerticalSlashCase random_choice(Sizes const& sizes, std::int64_t tile, std::uint64_t seed) {
  support::Random random(seed);
  std::vector<reference::Units> vertical, slash;
  for (std::int64_t head = 0; head < sizes.heads_kv * sizes.group; ++head) {
    vertical.push_back(random.subset(sizes.len_k, random.uniform() * 0.3));
    slash.push_back(support::random_slash(random, sizes.len_k));
  }
  return {vertical, slash, sizes.len_k, tile};
}

template <class T>
void equals_the_oracle(Sizes const& sizes, std::int64_t tile, Data data) {
  CAPTURE(name_of(sizes), name_of(data), tile);
  auto const in = support::make_inputs<T>(sizes, data, 200 + static_cast<std::uint64_t>(sizes.len_k));
  ProblemCase<T> c(in);
  VerticalSlashCase kept = random_choice(sizes, tile, static_cast<std::uint64_t>(sizes.len_k + tile));
  kept.index().len_q = sizes.len_q;
  REQUIRE(attend(c, kept) == "");
  REQUIRE(c.exactly_the_answer_was_written());
  auto const exact =
      reference::attend(in, [&](std::int64_t head, std::int64_t row) { return kept.keys(head, in.position(row)); });
  REQUIRE(support::explain_answer(c, exact, data) == "");
}

TEST_CASE("attend vertical-slash: random choices equal the oracle in float", "[kernels]") {
  for (Sizes const& sizes : support::prompt_sizes())
    for (std::int64_t tile : {8, 16, 64}) equals_the_oracle<float>(sizes, tile, Data::random);
}

TEST_CASE("attend vertical-slash: random choices equal the oracle in bfloat16 and half", "[kernels]") {
  for (Sizes const& sizes : support::prompt_sizes()) {
    equals_the_oracle<lacuna::bfloat16>(sizes, 64, Data::random);
    equals_the_oracle<lacuna::half>(sizes, 16, Data::random);
  }
}

TEST_CASE("attend vertical-slash: the last rows of a prompt alone equal the oracle", "[kernels]") {
  for (Sizes const& sizes : support::continued_sizes())
    for (std::int64_t tile : {8, 64}) equals_the_oracle<float>(sizes, tile, Data::random);
}

TEST_CASE("attend vertical-slash: tied, huge, tiny, NaN and infinite inputs equal the oracle", "[kernels]") {
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key, Data::infinite_query})
    for (std::int64_t tile : {16, 64}) equals_the_oracle<float>({150, 150, 1, 2, 32}, tile, data);
}

TEST_CASE("attend vertical-slash: a tile that reaches past the end reads nothing there", "[kernels]") {
  // The last tile of the second golden ends 42 tokens past the prompt; what lies there is NaN.
  auto const in = support::make_inputs<float>({256, 256, 1, 1, 16}, Data::random, 3);
  ProblemCase<float> c(in);
  VerticalSlashCase kept({{0, 1, 2, 3, 20}}, {reference::both_ends(64, 64, 0)}, 256, 64);
  REQUIRE(attend(c, kept) == "");
  auto const exact = reference::attend(in, [&](std::int64_t head, std::int64_t row) { return kept.keys(head, row); });
  CHECK(support::explain_answer(c, exact) == "");
}

TEST_CASE("attend vertical-slash: a head that keeps nothing answers zero and minus infinity", "[kernels]") {
  auto const in = support::make_inputs<float>({100, 100, 1, 2, 16}, Data::random, 3);
  ProblemCase<float> c(in);
  VerticalSlashCase kept({{}, {}}, {{}, {0}}, 100, 64);
  REQUIRE(attend(c, kept) == "");
  CHECK(c.exactly_the_answer_was_written());
  auto const exact = reference::attend(in, [&](std::int64_t head, std::int64_t row) { return kept.keys(head, row); });
  CHECK(exact.out[0] == 0.0);
  CHECK(support::explain_answer(c, exact) == "");
}

TEST_CASE("attend vertical-slash: every diagonal and every column is dense attention", "[kernels]") {
  auto const in = support::make_inputs<float>({130, 130, 2, 2, 32}, Data::random, 5);
  reference::Units const all = reference::both_ends(130, 130, 0);
  auto const exact = reference::attend(in, [&](std::int64_t, std::int64_t row) { return dense_keys(in, row); });
  ProblemCase<float> c(in);
  VerticalSlashCase diagonals({{}, {}, {}, {}}, {all, all, all, all}, 130, 64);
  REQUIRE(attend(c, diagonals) == "");
  CHECK(support::explain_answer(c, exact) == "");
  reference::Units const near = reference::both_ends(64, 64, 0);
  VerticalSlashCase columns({all, all, all, all}, {near, near, near, near}, 130, 64);
  REQUIRE(attend(c, columns) == "");
  CHECK(support::explain_answer(c, exact) == "");
}

TEST_CASE("attend vertical-slash: any layout, any number of workers and any order give the same bits", "[kernels]") {
  lacuna::ThreadPool pool(3);
  Sizes const sizes{260, 260, 2, 3, 64};
  auto const in = support::make_inputs<float>(sizes, Data::random, 7);
  VerticalSlashCase kept = random_choice(sizes, 64, 1);
  std::vector<double> first;
  for (auto const& layout : support::layouts()) {
    for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
      CAPTURE(name_of(layout), exec.workers);
      ProblemCase<float> c(in, layout);
      REQUIRE(attend(c, kept, exec) == "");
      REQUIRE(c.exactly_the_answer_was_written());
      if (first.empty()) first = c.answer();
      REQUIRE(c.answer() == first);
    }
  }
}

TEST_CASE("attend vertical-slash: an index of another problem is refused", "[kernels]") {
  ProblemCase<float> c(support::make_inputs<float>({100, 100, 1, 2, 16}, Data::random, 3));
  VerticalSlashCase kept({{}, {}}, {{0}, {0}}, 100, 64);
  support::GuardedMemory memory(1 << 20);
  auto complaint = [&](auto const& spoil) {
    lacuna::AttendVerticalSlashArgs<float> args{c.problem(), kept.index(), c.out(), memory.workspace()};
    spoil(args);
    return std::string(lacuna::attend_vertical_slash(lacuna::Cpu{}, args).message);
  };
  CHECK(complaint([](auto&) {}).empty());
  CHECK(complaint([](auto& a) { a.problem.q.data = nullptr; }) == "problem: q is null but len_q is not zero");
  CHECK(complaint([](auto& a) { a.out.out.data = nullptr; }) == "out: must not be null");
  CHECK(complaint([](auto& a) { a.index.tile = 0; }) == "attend_vertical_slash: tile must be at least 1");
  CHECK(complaint([](auto& a) { a.index.counts.extents[0] = 5; }) ==
        "attend_vertical_slash: the index must have one row per query head or per KV head");
  CHECK(complaint([](auto& a) { a.index.len_q = 99; }) ==
        "attend_vertical_slash: the index was made for another len_q");
  CHECK(complaint([](auto& a) { a.index.len_k = 99; }) ==
        "attend_vertical_slash: the index was made for another len_k");
}

}  // namespace
