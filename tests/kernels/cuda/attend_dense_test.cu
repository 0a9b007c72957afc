#include <string>
#include <vector>

#include "lacuna/kernels/attend_dense.hpp"
#include "support/batch_run.hpp"
#include "support/catch.hpp"
#include "support/on_path.hpp"

namespace {

using lacuna::bfloat16;
using lacuna::half;
using support::BatchCase;
using support::Data;
using support::Layout;
using support::Lengths;
using support::Masks;
using support::Sizes;

template <class T>
std::string attend(BatchCase<T>& c, lacuna::BatchProblem<T> const& problem) {
  return support::run_on_device(
      c,
      [&](lacuna::Cuda exec, lacuna::Workspace& w) {
        lacuna::reserve_attend_dense(exec, lacuna::shape_of(problem), w);
      },
      [&](lacuna::Cuda exec, lacuna::Workspace w) {
        return lacuna::attend_dense(exec, lacuna::AttendDenseBatchArgs<T>{problem, c.out(), w});
      });
}

template <class T>
void equals_the_oracle(std::vector<Lengths> const& lengths, Sizes const& heads, Data data = Data::random,
                       Masks masks = {}, Layout layout = {}) {
  CAPTURE(name_of(data), heads.dim, heads.group, heads.heads_kv, masks.window_tokens, masks.soft_cap, masks.sinks,
          lengths[0].len_q, lengths[0].len_k);
  BatchCase<T> c(support::make_batch<T>(lengths, heads, data, masks), layout);
  for (lacuna::cuda::Path path : support::kPaths) {
    support::OnPath const on_path(path);
    CAPTURE(static_cast<int>(path));
    REQUIRE(attend(c, c.problem()) == "");
    REQUIRE(support::explain_batch(
                c, [&](std::size_t b, std::int64_t, std::int64_t row) { return dense_keys(c.sequences()[b], row); },
                data) == "");
  }
}

std::vector<Lengths> const kRagged{{65, 65}, {1, 1},    {0, 0},    {17, 130},  {63, 200}, {0, 40},
                                   {1, 77},  {64, 128}, {15, 257}, {129, 129}, {2, 2},    {128, 191}};

TEST_CASE("cuda attend dense: ragged batches of every head size and group equal the oracle", "[cuda]") {
  for (std::int64_t dim : {64, 128, 256})
    for (std::int64_t group : {1, 4, 5, 7, 8}) {
      equals_the_oracle<bfloat16>(kRagged, {0, 0, group < 4 ? 2 : 1, group, dim});
      if (group % 2 == 1) equals_the_oracle<half>(kRagged, {0, 0, 2, group, dim});
    }
}

TEST_CASE("cuda attend dense: a few queries of many sequences, with a group's heads in one tile", "[cuda]") {
  for (std::int64_t group : {1, 3, 5, 8, 16})
    equals_the_oracle<bfloat16>({{1, 300}, {3, 65}, {0, 10}, {4, 4}, {2, 1000}}, {0, 0, 2, group, 128});
}

TEST_CASE("cuda attend dense: windows, caps and sinks equal the oracle", "[cuda]") {
  for (Masks const& masks : {Masks{1, 0.0, false}, Masks{50, 0.0, true}, Masks{64, 20.0, false}, Masks{0, 5.0, true},
                             Masks{0, 0.0, true}, Masks{129, 30.0, true}})
    for (std::int64_t dim : {64, 128}) {
      equals_the_oracle<bfloat16>(kRagged, {0, 0, 2, 2, dim}, Data::random, masks);
      equals_the_oracle<half>(kRagged, {0, 0, 1, 5, dim}, Data::random, masks);
    }
}

TEST_CASE("cuda attend dense: tied, huge, tiny, NaN and infinite inputs equal the oracle", "[cuda]") {
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key, Data::infinite_query}) {
    equals_the_oracle<bfloat16>({{70, 150}, {150, 150}}, {0, 0, 1, 2, 128}, data);
    if (data != Data::huge) equals_the_oracle<half>({{70, 150}, {150, 150}}, {0, 0, 1, 2, 64}, data);
  }
}

TEST_CASE("cuda attend dense: any layout gives the same bits", "[cuda]") {
  support::OnPath const on_path(lacuna::cuda::Path::generic);  // a layout may decide which path is taken
  auto const inputs = support::make_batch<bfloat16>(kRagged, {0, 0, 2, 2, 128}, Data::random);
  std::vector<double> first;
  for (Layout const& layout : {Layout{}, Layout{true, 0, 0}, Layout{false, 8, 0}, Layout{false, 5, 0},
                               Layout{true, 0, 16}, Layout{false, 8, 1}, Layout{false, 3, 48}, Layout{false, 0, 64}}) {
    CAPTURE(layout.heads_first, layout.padding, layout.page_tokens);
    BatchCase<bfloat16> c(inputs, layout);
    REQUIRE(attend(c, c.problem()) == "");
    std::vector<double> values;
    for (std::size_t b = 0; b < inputs.size(); ++b)
      for (std::int64_t row = 0; row < inputs[b].len_q; ++row)
        for (std::int64_t head = 0; head < 4; ++head) {
          for (std::int64_t x = 0; x < 128; ++x) values.push_back(c.answer(b).out_at(row, head, x));
          values.push_back(c.answer(b).lse_at(row, head));
        }
    if (first.empty()) first = values;
    REQUIRE(values == first);
  }
}

TEST_CASE("cuda attend dense: sequences of one length need no table of where queries begin", "[cuda]") {
  BatchCase<bfloat16> c(support::make_batch<bfloat16>({{65, 70}, {65, 65}, {65, 300}}, {0, 0, 1, 2, 64}, Data::random));
  auto problem = c.problem();
  REQUIRE(attend(c, problem) == "");
  auto const out = c.out_bits();
  problem.cu_len_q = nullptr;
  REQUIRE(attend(c, problem) == "");
  REQUIRE(c.out_bits() == out);
}

TEST_CASE("cuda attend dense: capacities beyond the lengths and a hundred runs give the same bits", "[cuda]") {
  BatchCase<bfloat16> c(support::make_batch<bfloat16>(kRagged, {0, 0, 1, 4, 128}, Data::random));
  auto problem = c.problem();
  REQUIRE(attend(c, problem) == "");
  auto const out = c.out_bits();
  auto const lse = c.lse_bits();
  problem.max_len_q += 200;
  problem.max_len_k += 777;
  for (int run = 0; run < 100; ++run) {
    REQUIRE(attend(c, problem) == "");
    REQUIRE(c.out_bits() == out);
    REQUIRE(std::memcmp(c.lse_bits().data(), lse.data(), lse.size() * sizeof(float)) == 0);
  }
}

TEST_CASE("cuda attend dense: shapes that no kernel serves are refused by a sentence", "[cuda]") {
  BatchCase<bfloat16> c(support::make_batch<bfloat16>({{3, 9}}, {0, 0, 1, 2, 80}, Data::random));
  CHECK(attend(c, c.problem()) == "cuda: dim must be 64, 128 or 256");
}

}  // namespace

// For the tests of whole methods, which do not compile it again (support/cuda_doors.hpp).
template lacuna::Status lacuna::attend_dense<lacuna::bfloat16>(lacuna::Cuda,
                                                               lacuna::AttendDenseBatchArgs<lacuna::bfloat16> const&);
