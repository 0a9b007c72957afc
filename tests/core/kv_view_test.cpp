#include "lacuna/core/kv_view.hpp"

#include <vector>

#include "support/catch.hpp"

namespace {

using lacuna::KvView;

TEST_CASE("kv view: tokens first and heads first differ by strides only", "[core]") {
  KvView<float> view;
  view.stride_token = 24;
  view.stride_head = 8;
  CHECK(view.offset(2, 5) == 5 * 24 + 2 * 8);
  view.stride_token = 8;
  view.stride_head = 80;
  CHECK(view.offset(2, 5) == 5 * 8 + 2 * 80);
}

TEST_CASE("kv view: a page table sends each head's tokens to its own pages", "[core]") {
  std::vector<std::int32_t> const table{3, 0, 1, 2};
  KvView<float> view;
  view.page_table = table.data();
  view.table_stride = 2;
  view.page_tokens = 4;
  view.stride_page = 32;
  view.stride_token = 8;
  CHECK(view.offset(0, 0) == 3 * 32);
  CHECK(view.offset(0, 5) == 0 * 32 + 1 * 8);
  CHECK(view.offset(1, 3) == 1 * 32 + 3 * 8);
  CHECK(view.offset(1, 4) == 2 * 32);
}

TEST_CASE("kv view: one length for all heads, or one each", "[core]") {
  std::vector<std::int32_t> const lens{7, 9};
  KvView<float> view;
  view.len = 9;
  CHECK(view.length(0) == 9);
  view.lens = lens.data();
  CHECK(view.length(0) == 7);
  CHECK(view.length(1) == 9);
}

TEST_CASE("kv view: offsets past 32 bits do not wrap", "[core]") {
  KvView<float> view;
  view.stride_token = 1LL << 33;
  CHECK(view.offset(0, 3) == 3LL << 33);
}

}  // namespace
