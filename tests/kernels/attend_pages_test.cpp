#include "lacuna/kernels/attend_pages.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "reference/attention.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/kernel_run.hpp"
#include "support/page_case.hpp"
#include "support/sizes.hpp"

namespace {

using support::Data;
using support::PageCase;
using support::ProblemCase;
using support::Sizes;

template <class T>
std::string attend(ProblemCase<T>& c, PageCase& kept, lacuna::Cpu exec = {}) {
  auto const problem = c.problem();
  return support::run_in_exact_scratch(
      [&](lacuna::Workspace& w) {
        lacuna::reserve_attend_pages(exec, lacuna::shape_of(problem), kept.index().rows(), w);
      },
      [&](lacuna::Workspace w) {
        return lacuna::attend_pages(exec, lacuna::AttendPagesArgs<T>{problem, kept.index(), c.out(), w});
      },
      "attend: the workspace is smaller than planned");
}

std::vector<Sizes> decode_sizes() {
  return {{1, 1, 1, 1, 16},   {1, 15, 2, 3, 32},   {1, 16, 1, 8, 64},  {1, 17, 2, 2, 16},  {1, 97, 1, 5, 80},
          {1, 145, 2, 7, 64}, {1, 256, 1, 4, 128}, {1, 257, 3, 1, 32}, {1, 1000, 2, 2, 64}};
}

template <class T>
void equals_the_oracle(Sizes const& sizes, bool shared, std::int64_t page_tokens, Data data,
                       support::Layout const& layout = {}) {
  CAPTURE(name_of(sizes), name_of(data), name_of(layout), shared, page_tokens);
  std::int64_t const rows = shared ? sizes.heads_kv : sizes.heads_kv * sizes.group;
  auto const in = support::make_inputs<T>(sizes, data, 300 + static_cast<std::uint64_t>(sizes.len_k));
  ProblemCase<T> c(in, layout);
  PageCase kept(support::random_pages(rows, sizes.len_k, page_tokens, static_cast<std::uint64_t>(page_tokens)),
                sizes.len_k, page_tokens);
  REQUIRE(attend(c, kept) == "");
  REQUIRE(c.exactly_the_answer_was_written());
  auto const exact = reference::attend(
      in, [&](std::int64_t head, std::int64_t) { return kept.keys(shared ? in.head_kv(head) : head, sizes.len_k); });
  REQUIRE(support::explain_answer(c, exact, data) == "");
}

TEST_CASE("attend pages: random pages shared by a group equal the oracle", "[kernels]") {
  for (Sizes const& sizes : decode_sizes()) {
    for (std::int64_t page_tokens : {1, 4, 16, 64}) {
      equals_the_oracle<float>(sizes, true, page_tokens, Data::random);
      equals_the_oracle<lacuna::bfloat16>(sizes, true, page_tokens, Data::random);
    }
  }
}

TEST_CASE("attend pages: random pages of each query head equal the oracle", "[kernels]") {
  for (Sizes const& sizes : decode_sizes()) {
    equals_the_oracle<float>(sizes, false, 16, Data::random);
    equals_the_oracle<lacuna::bfloat16>(sizes, false, 16, Data::random);
    equals_the_oracle<lacuna::half>(sizes, false, 16, Data::random);
  }
}

TEST_CASE("attend pages: cache pages unlike the selected pages", "[kernels]") {
  for (auto const& layout : support::layouts())
    for (bool shared : {true, false}) equals_the_oracle<float>({1, 333, 2, 3, 32}, shared, 16, Data::random, layout);
}

TEST_CASE("attend pages: tied, huge, tiny, NaN and infinite inputs equal the oracle", "[kernels]") {
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key, Data::infinite_query})
    for (bool shared : {true, false}) equals_the_oracle<float>({1, 150, 2, 2, 32}, shared, 16, data);
}

TEST_CASE("attend pages: a NaN in a page that was not kept does no harm", "[kernels]") {
  auto in = support::make_inputs<float>({1, 100, 1, 1, 16}, Data::random, 4);
  in.k[40 * 16] = in.v[40 * 16] = std::nan("");
  ProblemCase<float> c(in);
  PageCase kept({{0, 3, 6}}, 100, 16);
  REQUIRE(attend(c, kept) == "");
  auto const exact = reference::attend(in, [&](std::int64_t, std::int64_t) { return kept.keys(0, 100); });
  CHECK(std::isfinite(exact.out[0]));
  CHECK(support::explain_answer(c, exact) == "");
}

TEST_CASE("attend pages: any layout, any number of workers and any order give the same bits", "[kernels]") {
  lacuna::ThreadPool pool(3);
  auto const in = support::make_inputs<float>({1, 3000, 2, 4, 64}, Data::random, 7);
  PageCase kept(support::random_pages(8, 3000, 16, 1), 3000, 16);
  std::vector<double> first;
  for (auto const& layout : support::layouts()) {
    for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
      CAPTURE(name_of(layout), exec.workers);
      ProblemCase<float> c(in, layout);
      REQUIRE(attend(c, kept, exec) == "");
      if (first.empty()) first = c.answer();
      REQUIRE(c.answer() == first);
    }
  }
}

TEST_CASE("attend pages: an index of another problem is refused", "[kernels]") {
  ProblemCase<float> c(support::make_inputs<float>({1, 100, 1, 2, 16}, Data::random, 3));
  PageCase kept({{0, 6}}, 100, 16);
  support::GuardedMemory memory(1 << 20);
  auto complaint = [&](auto const& spoil) {
    lacuna::AttendPagesArgs<float> args{c.problem(), kept.index(), c.out(), memory.workspace()};
    std::vector<std::int32_t> lens{100, 100, 100};
    args.index.lens.data = lens.data();
    spoil(args);
    return std::string(lacuna::attend_pages(lacuna::Cpu{}, args).message);
  };
  CHECK(complaint([](auto&) {}).empty());
  CHECK(complaint([](auto& a) { a.problem.kv.dim = 8; }) == "problem: q and k must have the same dim");
  CHECK(complaint([](auto& a) { a.out.out.data = nullptr; }) == "out: must not be null");
  CHECK(complaint([](auto& a) { a.problem.q.extents[0] = a.out.out.extents[0] = a.out.lse.extents[0] = 0; }) ==
        "attend_pages: len_q must be 1");
  CHECK(complaint([](auto& a) { a.index.page_tokens = 0; }) == "attend_pages: page_tokens must be at least 1");
  CHECK(complaint([](auto& a) { a.index.counts.extents[0] = 3; }) ==
        "attend_pages: the index must have one row per KV head or per query head");
  CHECK(complaint([](auto& a) { a.index.lens(0) = 99; }) == "attend_pages: the index was made for another length");
}

}  // namespace
