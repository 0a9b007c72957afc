#include <string>
#include <vector>

#include "lacuna/kernels/attend_band.hpp"
#include "support/batch_run.hpp"
#include "support/catch.hpp"

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
std::string attend(BatchCase<T>& c, lacuna::BandIndex const& index) {
  auto const problem = c.problem();
  return support::run_on_device(
      c,
      [&](lacuna::Cuda exec, lacuna::Workspace& w) { lacuna::reserve_attend_band(exec, lacuna::shape_of(problem), w); },
      [&](lacuna::Cuda exec, lacuna::Workspace w) {
        return lacuna::attend_band(exec, lacuna::AttendBandBatchArgs<T>{problem, index, c.out(), w});
      });
}

template <class T>
void equals_the_oracle(std::vector<Lengths> const& lengths, Sizes const& heads, lacuna::BandIndex const& index,
                       Data data = Data::random, Masks masks = {}, Layout layout = {}) {
  CAPTURE(name_of(data), heads.dim, heads.group, index.sink_tokens, index.window_tokens, index.dense_queries,
          masks.window_tokens);
  BatchCase<T> c(support::make_batch<T>(lengths, heads, data, masks), layout);
  REQUIRE(attend(c, index) == "");
  auto const keys_of = [&](std::size_t b, std::int64_t, std::int64_t row) {
    reference::Inputs const& in = c.sequences()[b];
    std::int64_t const at = in.position(row);
    reference::Keys keys;
    for (std::int64_t key = 0; key <= at; ++key)
      if (key < index.sink_tokens || at - key < index.window_tokens || at >= in.len_k - index.dense_queries)
        keys.push_back(key);
    return keys;
  };
  REQUIRE(support::explain_batch(c, keys_of, data) == "");
}

std::vector<Lengths> const kRagged{{65, 65},  {1, 1},    {0, 0},     {17, 130}, {63, 200}, {0, 40},
                                   {64, 128}, {15, 257}, {129, 129}, {2, 2},    {400, 591}};

TEST_CASE("cuda attend band: sinks and windows of every size equal the oracle", "[cuda]") {
  for (lacuna::BandIndex const& index :
       {lacuna::BandIndex{0, 1, 0}, lacuna::BandIndex{4, 60, 0}, lacuna::BandIndex{64, 64, 0},
        lacuna::BandIndex{100, 17, 20}, lacuna::BandIndex{1, 128, 1}, lacuna::BandIndex{1000, 1000, 1000}}) {
    equals_the_oracle<bfloat16>(kRagged, {0, 0, 2, 4, 128}, index);
    equals_the_oracle<half>(kRagged, {0, 0, 1, 5, 64}, index);
    equals_the_oracle<bfloat16>({{1, 300}, {3, 65}, {2, 2}}, {0, 0, 1, 8, 256}, index);
  }
}

TEST_CASE("cuda attend band: windows, caps, sinks, pages and odd inputs equal the oracle", "[cuda]") {
  lacuna::BandIndex const index{5, 70, 3};
  for (Masks const& masks : {Masks{50, 0.0, true}, Masks{100, 20.0, false}, Masks{0, 5.0, true}})
    equals_the_oracle<bfloat16>(kRagged, {0, 0, 1, 3, 128}, index, Data::random, masks);
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key, Data::infinite_query})
    equals_the_oracle<bfloat16>({{70, 150}, {150, 150}}, {0, 0, 1, 2, 64}, index, data);
  equals_the_oracle<bfloat16>(kRagged, {0, 0, 2, 2, 128}, index, Data::random, {}, Layout{false, 8, 16});
}

}  // namespace

// For the tests of whole methods, which do not compile it again (support/cuda_doors.hpp).
template lacuna::Status lacuna::attend_band<lacuna::bfloat16>(lacuna::Cuda,
                                                              lacuna::AttendBandBatchArgs<lacuna::bfloat16> const&);
