#include "lacuna/methods/streaming.hpp"

#include <string>
#include <vector>

#include "reference/attention.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::Streaming;
using support::Data;
using support::MethodRun;
using support::ProblemCase;
using support::Sizes;

template <class T>
void equals_the_oracle(Streaming const& method, Sizes const& sizes, Data data) {
  CAPTURE(name_of(sizes), name_of(data), method.sink_tokens, method.window_tokens, method.dense_queries);
  auto const in = support::make_inputs<T>(sizes, data, 17);
  ProblemCase<T> c(in);
  MethodRun<Streaming> run(method, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  REQUIRE(c.exactly_the_answer_was_written());
  double kept = 0.0, causal = 0.0;
  auto const exact = reference::attend(in, [&](std::int64_t, std::int64_t row) {
    std::int64_t const i = in.position(row);
    reference::Keys keys;
    for (std::int64_t j = 0; j <= i; ++j)
      if (j < method.sink_tokens || i - j < method.window_tokens || i >= in.len_k - method.dense_queries)
        keys.push_back(j);
    kept += static_cast<double>(keys.size());
    causal += static_cast<double>(i + 1);
    return keys;
  });
  REQUIRE(support::explain_answer(c, exact, data) == "");
  REQUIRE(lacuna::density(run.index()) == Approx(causal == 0.0 ? 1.0 : kept / causal).epsilon(1e-12));
}

TEST_CASE("streaming: sinks and a window equal the oracle at every size", "[methods]") {
  for (Sizes const& sizes : support::prompt_sizes()) {
    equals_the_oracle<float>({4, 20}, sizes, Data::random);
    equals_the_oracle<lacuna::bfloat16>({0, 1}, sizes, Data::random);
    equals_the_oracle<float>({70, 33, 10}, sizes, Data::random);
  }
  for (Sizes const& sizes : support::continued_sizes()) equals_the_oracle<float>({4, 60, 3}, sizes, Data::random);
}

TEST_CASE("streaming: odd inputs equal the oracle", "[methods]") {
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key, Data::infinite_query})
    equals_the_oracle<float>({4, 30, 5}, {129, 129, 2, 2, 32}, data);
}

TEST_CASE("streaming: a window of the whole prompt is dense, workers change nothing", "[methods]") {
  auto const in = support::make_inputs<float>({200, 200, 2, 3, 32}, Data::random, 7);
  std::vector<double> first;
  for (lacuna::Cpu const& exec : {lacuna::Cpu{}, support::backwards(3)}) {
    ProblemCase<float> c(in);
    MethodRun<Streaming> run({4, 200}, c.problem(), exec);
    REQUIRE(run.run(c.problem(), c.out()) == "");
    CHECK(lacuna::density(run.index()) == 1.0);
    if (first.empty()) first = c.answer();
    CHECK(c.answer() == first);
    CHECK(run.run_in(run.plan().workspace_bytes - 1, c.problem(), c.out()).code == lacuna::Errc::workspace_too_small);
  }
}

TEST_CASE("streaming: parameters and indices that make no sense are refused", "[methods]") {
  auto const complaint = [](Streaming const& method) {
    return std::string(method.plan({}, {10, 10, 1, 1, 16}).status().message);
  };
  CHECK(complaint({}).empty());
  CHECK(complaint({-1}) == "streaming: sink_tokens must not be negative");
  CHECK(complaint({4, 0}) == "streaming: window_tokens must be at least 1");
  CHECK(complaint({4, 4, -1}) == "streaming: dense_queries must not be negative");
  lacuna::BandIndex const index{4, 4, 0, 10, 20, 2};
  auto const refusal = [&](lacuna::BandIndex changed, lacuna::Shape const& shape) {
    return std::string(changed.check(shape).message);
  };
  CHECK(refusal(index, {10, 20, 2, 1, 16}).empty());
  CHECK(refusal({4, 0, 0, 10, 20, 2}, {10, 20, 2, 1, 16}) ==
        "band_index: sink_tokens must be at least 0 and window_tokens at least 1");
  CHECK(refusal(index, {10, 20, 3, 1, 16}) == "band_index: heads must be heads_q");
  CHECK(refusal(index, {9, 20, 2, 1, 16}) == "band_index: len_q is not the problem's");
  CHECK(refusal(index, {10, 21, 2, 1, 16}) == "band_index: len_k is not the problem's");
  ProblemCase<float> c(support::make_inputs<float>({10, 20, 1, 2, 16}, Data::random, 7));
  auto const attends = [&](lacuna::BandIndex const& changed) {
    return std::string(lacuna::AttendBandArgs<float>{c.problem(), changed, c.out(), {}}.check().message);
  };
  CHECK(attends(index).empty());
  CHECK(attends({4, 0, 0, 10, 20, 2}) == "attend_band: sink_tokens must be at least 0 and window_tokens at least 1");
  CHECK(attends({4, 4, 0, 10, 19, 2}) == "attend_band: the index was made for another len_k");
}

}  // namespace
