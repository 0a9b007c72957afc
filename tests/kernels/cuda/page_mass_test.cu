#include "lacuna/kernels/page_mass.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "lacuna/kernels/smooth.hpp"
#include "lacuna/kernels/token_numbers.hpp"
#include "support/batch_run.hpp"
#include "support/catch.hpp"
#include "support/memory.hpp"
#include "support/random.hpp"
#include "support/sound_batch.hpp"

namespace page_mass_test {

using T = lacuna::bfloat16;
using Ints = std::vector<std::int32_t>;
using support::Data;

/// The mass of some pages of each sequence, against the CPU's for the same pages.
void weighs_as_the_cpu(Data data, std::int64_t group, bool per_head, std::int64_t page, support::Masks masks = {},
                       support::Layout layout = {}) {
  CAPTURE(name_of(data), group, per_head, page, masks.window_tokens, layout.page_tokens);
  constexpr std::int64_t kHeadsKv = 2, kDim = 64;
  std::vector<support::Lengths> const lengths{{1, 200}, {0, 70}, {1, 1}, {1, 65}};
  auto const inputs = support::make_batch<T>(lengths, {1, 1, kHeadsKv, group, kDim}, data, masks);
  support::BatchCase<T> const c(inputs, layout);
  auto problem = c.problem();
  std::int64_t const batch = problem.batch, heads = per_head ? problem.heads_q() : kHeadsKv, rows = batch * heads;
  std::int64_t const units = (200 / page + 4) / 4 * 4, room = 200 / page + 1;
  support::Random random(3);
  Ints pages(static_cast<std::size_t>(rows * room), -1), counts;
  for (std::int64_t row = 0; row < rows; ++row) {
    auto const some = random.subset((lengths[static_cast<std::size_t>(row / heads)].len_k - 1) / page, 0.7);
    std::copy(some.begin(), some.end(), pages.begin() + row * room);
    counts.push_back(static_cast<std::int32_t>(some.size()));
  }
  support::DeviceArray<std::int32_t> const d_pages(pages), d_counts(counts);
  support::DeviceArray<float> const d_mass(static_cast<std::size_t>(rows * units));
  support::Stream const stream;
  lacuna::Workspace bytes;
  (void)lacuna::reserve_page_mass(lacuna::Cuda{stream}, shape_of(problem), room, bytes);
  support::DeviceMemory const scratch(bytes.used_bytes());
  lacuna::PageMassBatchArgs<T> const args{problem,
                                          lacuna::dense_view<std::int32_t const, 2>(d_pages.data(), {rows, room}),
                                          lacuna::dense_view<std::int32_t const, 1>(d_counts.data(), {rows}),
                                          page,
                                          lacuna::dense_view<float, 2>(d_mass.data(), {rows, units}),
                                          scratch.workspace()};
  REQUIRE(std::string(page_mass(lacuna::Cuda{stream}, args).message) == "");
  stream.wait();
  REQUIRE(scratch.guards_untouched());
  REQUIRE(d_mass.guards_untouched());
  auto const got = d_mass.download();
  for (std::size_t b = 0; b < inputs.size(); ++b) {
    if (inputs[b].len_q == 0) continue;
    support::ProblemCase<T> const one(inputs[b]);
    auto const first = static_cast<std::int64_t>(b) * heads;
    std::vector<float> expected(static_cast<std::size_t>(heads * units));
    lacuna::Workspace counting;
    (void)lacuna::reserve_page_mass(lacuna::Cpu{}, shape_of(one.problem()), room, counting);
    support::GuardedMemory memory(counting.used_bytes());
    auto const s = lacuna::page_mass<T>(
        lacuna::Cpu{},
        {one.problem(), lacuna::dense_view<std::int32_t const, 2>(pages.data() + first * room, {heads, room}),
         lacuna::dense_view<std::int32_t const, 1>(counts.data() + first, {heads}), page,
         lacuna::dense_view<float, 2>(expected.data(), {heads, units}), memory.workspace()});
    REQUIRE(std::string(s.message) == "");
    for (std::size_t i = 0; i < expected.size(); ++i) {
      float const a = got[static_cast<std::size_t>(first * units) + i], e = expected[i];
      CAPTURE(b, i, a, e);
      REQUIRE((a == e || (std::isnan(a) && std::isnan(e)) || std::abs(a - e) <= 1e-6F + 1e-4F * std::abs(e)));
    }
  }
}

TEST_CASE("cuda page mass: shares of attention are the CPU's", "[cuda]") {
  for (bool per_head : {false, true})
    for (std::int64_t group : {1, 4, 5}) weighs_as_the_cpu(Data::random, group, per_head, 16);
  for (std::int64_t page : {1, 8, 20, 64}) weighs_as_the_cpu(Data::random, 2, false, page);
  weighs_as_the_cpu(Data::random, 2, false, 16, {.window_tokens = 90, .soft_cap = 5.0});
  weighs_as_the_cpu(Data::random, 2, false, 16, {}, {.page_tokens = 32});
  weighs_as_the_cpu(Data::nan_key, 2, false, 16);
  weighs_as_the_cpu(Data::ties, 2, true, 16);
}

TEST_CASE("cuda smooth: the CPU's bits, at both ends too", "[cuda]") {
  constexpr std::int64_t kRows = 5, kUnits = 700;
  support::Random random(8);
  std::vector<float> scores;
  for (std::int64_t i = 0; i < kRows * kUnits; ++i) scores.push_back(static_cast<float>(random.normal()));
  scores[700 + 40] = std::numeric_limits<float>::quiet_NaN();
  Ints const counts{700, 650, 3, 0, 1};
  support::DeviceArray<float> const from(scores);
  support::DeviceArray<std::int32_t> const candidates(counts);
  support::Stream const stream;
  for (std::int64_t width : {1, 5, 21})
    for (bool highest : {false, true}) {
      support::DeviceArray<float> const to(scores.size());
      auto const view = [](float* data) { return lacuna::dense_view<float, 3>(data, {kRows, 1, kUnits}); };
      REQUIRE(std::string(smooth(lacuna::Cuda{stream},
                                 {view(from.data()), view(to.data()),
                                  lacuna::dense_view<std::int32_t, 2>(candidates.data(), {kRows, 1}), width, highest})
                              .message) == "");
      stream.wait();
      auto const got = to.download();
      for (std::int64_t row = 0; row < kRows; ++row)
        for (std::int64_t i = 0; i < counts[static_cast<std::size_t>(row)]; ++i) {
          float const* const own = scores.data() + row * kUnits;
          std::int64_t const first = std::max<std::int64_t>(i - width / 2, 0),
                             last = std::min<std::int64_t>(i + width / 2, counts[static_cast<std::size_t>(row)] - 1);
          float sum = 0.0F, best = own[i];
          for (std::int64_t j = first; j <= last; ++j) {
            sum += own[j];
            if (own[j] > best || std::isnan(own[j])) best = own[j];
          }
          float const expected = highest ? best : sum / static_cast<float>(width);
          float const a = got[static_cast<std::size_t>(row * kUnits + i)];
          CAPTURE(width, highest, row, i, a, expected);
          REQUIRE((a == expected || (std::isnan(a) && std::isnan(expected))));
        }
    }
}

TEST_CASE("refusals: page_mass and keep_numbers", "[kernels]") {
  using support::unread;
  auto const said = [](auto const& spoil, std::int64_t dim = 64) {
    lacuna::PageMassBatchArgs<T> args;
    args.problem = support::sound_batch<T>(dim, 1);
    args.pages = unread<std::int32_t const, 2>({6, 3});
    args.counts = unread<std::int32_t const, 1>({6});
    args.page_tokens = 1;
    args.mass = unread<float, 2>({6, 3});
    std::vector<std::byte> scratch(1 << 20);
    args.scratch = {scratch.data(), scratch.size()};
    spoil(args);
    return std::string(page_mass(lacuna::Cuda{}, args).message);
  };
  CHECK(said([](auto&) {}, 72) == "page_mass: dim must be a multiple of 16 on the device");
  char const* const rows = "page_mass: rows must begin at multiples of 16 bytes on the device";
  CHECK(said([](auto& a) { a.problem.kv.k = support::nowhere<T const>(1); }) == rows);
  CHECK(said([](auto& a) { a.problem.kv.stride_token = 132; }) == rows);
  CHECK(said([](auto& a) { a.scratch = {}; }) == "page_mass: the workspace is smaller than planned");
  CHECK(said([](auto& a) {
          a.problem.batch = a.problem.q.extents[0] = a.problem.kv.lens.extents[0] = 32768;
          a.pages.extents = {65536, 0};
          a.counts.extents[0] = a.mass.extents[0] = 65536;
        }) == "page_mass: at most 65535 rows on the device");
  lacuna::KeepNumbersArgs keep;
  keep.numbers = {unread<float, 3>({3, 2, 4}), unread<std::int32_t, 3>({3, 2, 4})};
  keep.index = {unread<std::int32_t, 2>({5, 4}), unread<std::int32_t, 1>({5}), {}};
  CHECK(std::string(keep_numbers(lacuna::Cuda{}, keep).message) ==
        "keep_numbers: the index must have one row per KV head of a sequence");
}

}  // namespace page_mass_test
