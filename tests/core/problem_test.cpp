#include "lacuna/core/problem.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace {

using lacuna::Problem;

/// Four tokens, two KV heads, four query heads, eight channels.
struct Sound {
  std::vector<float> memory = std::vector<float>(1024);
  std::vector<std::int32_t> lens{4, 4};
  std::vector<std::int32_t> table{0, 1};
  Problem<float> problem;

  Sound() {
    problem.q = lacuna::dense_view<float const, 3>(memory.data(), {4, 4, 8});
    problem.kv.k = problem.kv.v = memory.data();
    problem.kv.heads_kv = 2;
    problem.kv.dim = 8;
    problem.kv.len = 4;
    problem.kv.stride_head = 8;
    problem.kv.stride_token = 16;
  }
  std::string complaint() const { return problem.check().message; }
};

TEST_CASE("problem: a sound one passes, also when it is empty", "[core]") {
  Sound sound;
  CHECK(sound.problem.check());
  CHECK(sound.problem.group() == 2);
  sound.problem.q = lacuna::dense_view<float const, 3>(nullptr, {0, 4, 8});
  sound.problem.kv.len = 0;
  sound.problem.kv.k = sound.problem.kv.v = nullptr;
  CHECK(sound.problem.check());
}

TEST_CASE("problem: the scale defaults to one over the root of dim", "[core]") {
  Sound sound;
  CHECK(sound.problem.logit_scale() == Approx(1.0 / std::sqrt(8.0)));
  sound.problem.scale = 0.5F;
  CHECK(sound.problem.logit_scale() == 0.5F);
}

TEST_CASE("problem: heads must be there and divide", "[core]") {
  Sound sound;
  sound.problem.kv.heads_kv = 0;
  CHECK(sound.complaint() == "problem: heads_kv must be at least 1");
  sound.problem.kv.heads_kv = 3;
  CHECK(sound.complaint() == "problem: heads_q must be a positive multiple of heads_kv");
  CHECK(sound.problem.check().value == 4);
  CHECK(sound.problem.check().bound == 3);
}

TEST_CASE("problem: dim must be sane and shared by q and k", "[core]") {
  Sound sound;
  sound.problem.kv.dim = 16;
  CHECK(sound.complaint() == "problem: q and k must have the same dim");
  sound.problem.q.extents[2] = 0;
  CHECK(sound.complaint() == "problem: dim must be in 1..512");
  sound.problem.q.extents[2] = 513;
  CHECK(sound.complaint() == "problem: dim must be in 1..512");
}

TEST_CASE("problem: the last axis of q must be dense", "[core]") {
  Sound sound;
  sound.problem.q.strides[2] = 2;
  CHECK(sound.complaint() == "problem: the last axis of q must be dense");
}

TEST_CASE("problem: null pointers are refused where something should be", "[core]") {
  Sound sound;
  sound.problem.q.data = nullptr;
  CHECK(sound.complaint() == "problem: q is null but len_q is not zero");
  sound = Sound();
  sound.problem.kv.k = nullptr;
  CHECK(sound.complaint() == "problem: k and v must not be null when tokens are held");
  sound = Sound();
  sound.problem.kv.v = nullptr;
  CHECK(sound.complaint() == "problem: k and v must not be null when tokens are held");
}

TEST_CASE("problem: lengths must fit", "[core]") {
  Sound sound;
  sound.problem.q.extents[0] = -1;
  CHECK(sound.complaint() == "problem: len_q must not be negative");
  sound = Sound();
  sound.lens[1] = 3;
  sound.problem.kv.lens = sound.lens.data();
  CHECK(sound.complaint() == "problem: every KV head must hold at least len_q tokens");
}

TEST_CASE("problem: a window, a cap and sinks must make sense", "[core]") {
  Sound sound;
  std::vector<float> const sinks(4);
  sound.problem.window_tokens = 2;
  sound.problem.soft_cap = 30.0F;
  sound.problem.sink_logits = lacuna::dense_view<float const, 1>(sinks.data(), {4});
  CHECK(sound.problem.check());
  CHECK(sound.problem.oldest_key(0) == 0);
  CHECK(sound.problem.oldest_key(1) == 0);
  CHECK(sound.problem.oldest_key(2) == 1);
  sound.problem.sink_logits.extents[0] = 2;
  CHECK(sound.complaint() == "problem: sink_logits must be null or [heads_q]");
  for (float cap : {-1.0F, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    sound.problem.soft_cap = cap;
    CHECK(sound.complaint() == "problem: soft_cap must be finite and not negative");
  }
  sound.problem.window_tokens = -1;
  CHECK(sound.complaint() == "problem: window_tokens must not be negative");
}

TEST_CASE("problem: a page table needs a page size", "[core]") {
  Sound sound;
  sound.problem.kv.page_table = sound.table.data();
  CHECK(sound.complaint() == "problem: page_tokens must be at least 1 when a page table is given");
}

}  // namespace
