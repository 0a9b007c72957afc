#include "lacuna/kernels/attend_dense.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "reference/attention.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/kernel_run.hpp"
#include "support/sizes.hpp"

namespace {

using support::Data;
using support::ProblemCase;
using support::Sizes;

template <class T>
std::string attend(ProblemCase<T>& c, lacuna::Cpu exec = {}) {
  c.poison_answers();
  auto const problem = c.problem();
  return support::run_in_exact_scratch(
      [&](lacuna::Workspace& w) { lacuna::reserve_attend_dense(exec, lacuna::shape_of(problem), w); },
      [&](lacuna::Workspace w) {
        return lacuna::attend_dense(exec, lacuna::AttendDenseArgs<T>{problem, c.out(), w});
      },
      "attend: the workspace is smaller than planned", problem.len_q() == 0);
}

template <class T>
void equals_the_oracle(Sizes const& sizes, Data data) {
  CAPTURE(name_of(sizes), name_of(data));
  auto const in = support::make_inputs<T>(sizes, data, 100 + static_cast<std::uint64_t>(sizes.len_k));
  ProblemCase<T> c(in);
  REQUIRE(attend(c) == "");
  REQUIRE(c.exactly_the_answer_was_written());
  auto const exact = reference::attend(in, [&](std::int64_t, std::int64_t row) { return dense_keys(in, row); });
  REQUIRE(support::explain_answer(c, exact, data) == "");
}

TEST_CASE("attend dense: prompts equal the oracle in float", "[kernels]") {
  for (Sizes const& sizes : support::prompt_sizes()) equals_the_oracle<float>(sizes, Data::random);
}

TEST_CASE("attend dense: a long cache is read in parts that merge", "[kernels]") {
  for (Sizes const& sizes : {Sizes{1, 4097, 2, 2, 32}, Sizes{3, 5000, 1, 5, 20}, Sizes{1, 2049, 1, 16, 16}}) {
    equals_the_oracle<float>(sizes, Data::random);
    equals_the_oracle<float>(sizes, Data::huge);
    equals_the_oracle<lacuna::bfloat16>(sizes, Data::random);
  }
}

TEST_CASE("attend dense: prompts equal the oracle in bfloat16 and half", "[kernels]") {
  for (Sizes const& sizes : support::prompt_sizes()) {
    equals_the_oracle<lacuna::bfloat16>(sizes, Data::random);
    equals_the_oracle<lacuna::half>(sizes, Data::random);
  }
}

TEST_CASE("attend dense: queries aligned to the end of longer keys equal the oracle", "[kernels]") {
  for (Sizes const& sizes : support::continued_sizes()) {
    equals_the_oracle<float>(sizes, Data::random);
    equals_the_oracle<lacuna::bfloat16>(sizes, Data::random);
  }
}

TEST_CASE("attend dense: tied, huge, tiny, NaN and infinite inputs equal the oracle", "[kernels]") {
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key, Data::infinite_query}) {
    for (Sizes const& sizes : {Sizes{129, 129, 2, 2, 64}, Sizes{7, 7, 1, 1, 16}, Sizes{1, 70, 2, 4, 32}}) {
      equals_the_oracle<float>(sizes, data);
      if (data != Data::tiny) equals_the_oracle<lacuna::bfloat16>(sizes, data);
    }
  }
}

TEST_CASE("attend dense: a NaN value reaches the rows that see it and no others", "[kernels]") {
  auto in = support::make_inputs<float>({130, 130, 1, 1, 16}, Data::random, 4);
  in.v[100 * 16] = std::nan("");
  ProblemCase<float> c(in);
  REQUIRE(attend(c) == "");
  CHECK_FALSE(std::isnan(c.out_at(99, 0, 0)));
  CHECK(std::isnan(c.out_at(100, 0, 0)));
  CHECK(std::isnan(c.out_at(129, 0, 0)));
  CHECK_FALSE(std::isnan(c.out_at(129, 0, 1)));
}

TEST_CASE("attend dense: any layout, any number of workers and any order give the same bits", "[kernels]") {
  lacuna::ThreadPool pool(3);
  for (Sizes const& sizes : {Sizes{150, 150, 2, 3, 64}, Sizes{20, 333, 2, 2, 80}, Sizes{1, 4000, 2, 4, 64}}) {
    auto const in = support::make_inputs<float>(sizes, Data::random, 7);
    std::vector<double> first;
    for (auto const& layout : support::layouts()) {
      for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
        CAPTURE(name_of(sizes), name_of(layout), exec.workers);
        ProblemCase<float> c(in, layout);
        REQUIRE(attend(c, exec) == "");
        REQUIRE(c.exactly_the_answer_was_written());
        if (first.empty()) first = c.answer();
        REQUIRE(c.answer() == first);
      }
    }
  }
}

TEST_CASE("attend dense: KV heads of different lengths", "[kernels]") {
  auto const in = support::make_inputs<float>({3, 90, 2, 2, 32}, Data::random, 8);
  std::vector<std::int32_t> const lens{90, 41};
  ProblemCase<float> c(in);
  c.kv().lens = lens.data();
  REQUIRE(attend(c) == "");
  auto const exact = reference::attend(in, [&](std::int64_t head, std::int64_t row) {
    reference::Keys keys;
    for (std::int64_t j = 0; j <= lens[static_cast<std::size_t>(head / 2)] - 3 + row; ++j) keys.push_back(j);
    return keys;
  });
  CHECK(support::explain_answer(c, exact) == "");
}

TEST_CASE("attend dense: a scale of its own replaces the default", "[kernels]") {
  auto in = support::make_inputs<float>({20, 20, 1, 2, 16}, Data::random, 9);
  ProblemCase<float> c(in);
  c.set_scale(0.5F);  // twice the default for 16 channels
  REQUIRE(attend(c) == "");
  for (double& x : in.q) x *= 2.0;
  auto const exact = reference::attend(in, [&](std::int64_t, std::int64_t row) { return dense_keys(in, row); });
  CHECK(support::explain_answer(c, exact) == "");
}

TEST_CASE("attend dense: log-sum-exp may be left out", "[kernels]") {
  ProblemCase<float> c(support::make_inputs<float>({9, 9, 1, 1, 16}, Data::random, 10));
  REQUIRE(attend(c) == "");
  auto const with = c.answer();
  auto out = c.out();
  out.lse.data = nullptr;
  support::GuardedMemory memory(1 << 20);
  REQUIRE(lacuna::attend_dense(lacuna::Cpu{}, lacuna::AttendDenseArgs<float>{c.problem(), out, memory.workspace()}));
  CHECK(c.answer() == with);
}

TEST_CASE("attend dense: answers that cannot be written are refused", "[kernels]") {
  ProblemCase<float> c(support::make_inputs<float>({9, 9, 1, 1, 16}, Data::random, 10));
  support::GuardedMemory memory(1 << 20);
  auto complaint = [&](auto const& spoil) {
    lacuna::AttendDenseArgs<float> args{c.problem(), c.out(), memory.workspace()};
    spoil(args);
    return std::string(lacuna::attend_dense(lacuna::Cpu{}, args).message);
  };
  CHECK(complaint([](auto& a) { a.problem.kv.heads_kv = 0; }) == "problem: heads_kv must be at least 1");
  CHECK(complaint([](auto& a) { a.out.out.extents[0] = 8; }) == "out: must have the extents of q");
  CHECK(complaint([](auto& a) { a.out.out.strides[2] = 2; }) == "out: the last axis must be dense");
  CHECK(complaint([](auto& a) { a.out.out.data = nullptr; }) == "out: must not be null");
  CHECK(complaint([](auto& a) { a.out.lse.extents[1] = 2; }) == "lse: must be null or [len_q, heads_q]");
}

}  // namespace
