#include "lacuna/core/shape.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"

namespace {

using lacuna::Shape;

std::string complaint(Shape const& shape) { return shape.check().message; }

TEST_CASE("shape: sound ones pass, also empty", "[core]") {
  CHECK(Shape{7, 9, 6, 3, 64}.check());
  CHECK(Shape{0, 0, 1, 1, 1}.check());
  CHECK(Shape{7, 9, 6, 3, 64}.group() == 2);
}

TEST_CASE("shape: every sentence", "[core]") {
  CHECK(complaint({1, 1, 1, 0, 8}) == "shape: heads_kv must be at least 1");
  CHECK(complaint({1, 1, 3, 2, 8}) == "shape: heads_q must be a positive multiple of heads_kv");
  CHECK(complaint({1, 1, 0, 1, 8}) == "shape: heads_q must be a positive multiple of heads_kv");
  CHECK(complaint({1, 1, 1, 1, 0}) == "shape: dim must be in 1..512");
  CHECK(complaint({1, 1, 1, 1, 513}) == "shape: dim must be in 1..512");
  CHECK(complaint({-1, 1, 1, 1, 8}) == "shape: len_q must not be negative");
  CHECK(complaint({2, 1, 1, 1, 8}) == "shape: len_k must be at least len_q");
  CHECK(complaint({1, 1LL << 31, 1, 1, 8}) == "shape: len_k must fit an int32 token id");
}

TEST_CASE("shape: of a problem is that of its longest head", "[core]") {
  std::vector<std::int32_t> const lens{5, 9};
  lacuna::Problem<float> problem;
  problem.q.extents = {2, 4, 16};
  problem.kv.heads_kv = 2;
  problem.kv.lens = lens.data();
  CHECK(lacuna::shape_of(problem) == Shape{2, 9, 4, 2, 16});
}

}  // namespace
