#include "lacuna/index/dense_index.hpp"

#include <string>

#include "support/catch.hpp"

namespace {

TEST_CASE("dense index: check compares with the problem", "[index]") {
  lacuna::Shape const shape{3, 5, 4, 2, 8};
  CHECK(lacuna::DenseIndex{3, 5, 4}.check(shape));
  CHECK(std::string(lacuna::DenseIndex{3, 5, 2}.check(shape).message) == "dense_index: heads must be heads_q");
  CHECK(std::string(lacuna::DenseIndex{2, 5, 4}.check(shape).message) == "dense_index: len_q is not the problem's");
  CHECK(std::string(lacuna::DenseIndex{3, 6, 4}.check(shape).message) == "dense_index: len_k is not the problem's");
}

}  // namespace
