#include "lacuna/core/batch_problem.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace {

using lacuna::BatchProblem;

/// Three sequences of at most four tokens, two KV heads, four query heads, eight channels; nothing here is ever read.
struct Sound {
  std::vector<float> memory = std::vector<float>(8);
  std::vector<std::int32_t> numbers = std::vector<std::int32_t>(8);
  BatchProblem<float> problem;

  Sound() {
    problem.q = lacuna::dense_view<float const, 3>(memory.data(), {7, 4, 8});
    problem.cu_len_q = numbers.data();
    problem.kv.k = problem.kv.v = memory.data();
    problem.kv.heads_kv = 2;
    problem.kv.dim = 8;
    problem.kv.stride_head = 8;
    problem.kv.stride_token = 16;
    problem.kv.lens = {numbers.data(), {3, 2}, {1, 0}};
    problem.batch = 3;
    problem.max_len_q = 4;
    problem.max_len_k = 4;
  }
  std::string complaint() const { return problem.check().message; }
};

TEST_CASE("batch problem: a sound one passes, paged or not, also without sequences", "[core]") {
  Sound sound;
  CHECK(sound.problem.check());
  CHECK(sound.problem.group() == 2);
  CHECK(sound.problem.logit_scale() == Approx(1.0 / std::sqrt(8.0)));
  CHECK(lacuna::shape_of(sound.problem) == lacuna::BatchShape{3, 7, {4, 4, 4, 2, 8}});
  CHECK(lacuna::shape_of(sound.problem).check());
  sound.problem.kv.page_table = {sound.numbers.data(), {3, 2, 2}, {2, 0, 1}};
  sound.problem.kv.page_tokens = 2;
  CHECK(sound.problem.check());
  sound.problem.batch = 0;
  sound.problem.q = lacuna::dense_view<float const, 3>(nullptr, {0, 4, 8});
  sound.problem.kv = {};
  sound.problem.kv.heads_kv = 2;
  sound.problem.kv.dim = 8;
  CHECK(sound.problem.check());
}

TEST_CASE("batch problem: what the host can see is refused in a sentence", "[core]") {
  auto const said = [](auto const& spoil) {
    Sound sound;
    spoil(sound.problem);
    return sound.complaint();
  };
  using P = BatchProblem<float>&;
  CHECK(said([](P p) { p.batch = -1; }) == "batch_problem: batch must not be negative");
  CHECK(said([](P p) { p.kv.heads_kv = 3; }) == "shape: heads_q must be a positive multiple of heads_kv");
  CHECK(said([](P p) { p.max_len_q = 5; }) == "shape: len_k must be at least len_q");
  CHECK(said([](P p) { p.kv.dim = 4; }) == "batch_problem: q and k must have the same dim");
  CHECK(said([](P p) { p.q.strides[2] = 2; }) == "batch_problem: the last axis of q must be dense");
  CHECK(said([](P p) { p.cu_len_q = nullptr; }) ==
        "batch_problem: without cu_len_q every sequence must have max_len_q queries");
  CHECK(said([](P p) { p.q.data = nullptr; }) == "batch_problem: q is null");
  CHECK(said([](P p) { p.kv.lens.data = nullptr; }) == "batch_problem: k, v and lens must not be null");
  CHECK(said([](P p) { p.kv.lens.extents[0] = 2; }) == "batch_problem: lens must be [batch, heads_kv]");
  CHECK(said([](P p) { p.window_tokens = -1; }) == "batch_problem: window_tokens must not be negative");
  CHECK(said([](P p) { p.soft_cap = -1.0F; }) == "batch_problem: soft_cap must be finite and not negative");
  CHECK(said([](P p) { p.soft_cap = std::numeric_limits<float>::quiet_NaN(); }) ==
        "batch_problem: soft_cap must be finite and not negative");
  static float sinks[3];
  CHECK(said([](P p) { p.sink_logits = {sinks, {3}, {1}}; }) == "batch_problem: sink_logits must be null or [heads_q]");
}

TEST_CASE("batch problem: a page table must reach every token", "[core]") {
  Sound sound;
  sound.problem.kv.page_table = {sound.numbers.data(), {3, 2, 2}, {2, 0, 1}};
  CHECK(sound.complaint() == "batch_problem: page_tokens must be at least 1");
  sound.problem.kv.page_tokens = 1;
  CHECK(sound.complaint() == "batch_problem: page_table has no room for max_len_k tokens");
  CHECK(sound.problem.check().bound == 4);
  sound.problem.kv.page_tokens = 2;
  sound.problem.kv.page_table.strides[2] = 2;
  CHECK(sound.complaint() == "batch_problem: the last axis of page_table must be dense");
  sound.problem.kv.page_table.extents[0] = 1;
  CHECK(sound.complaint() == "batch_problem: page_table must be [batch, heads_kv, pages]");
}

TEST_CASE("batch shape: capacities must fit each other", "[core]") {
  lacuna::BatchShape shape{2, 8, {4, 4, 4, 2, 8}};
  CHECK(shape.check());
  shape.tokens_q = 9;
  CHECK(std::string(shape.check().message) == "shape: tokens_q must be at most batch * len_q");
  shape.batch = -1;
  CHECK(std::string(shape.check().message) == "shape: batch must not be negative");
}

}  // namespace
