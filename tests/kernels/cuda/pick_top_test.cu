#include "lacuna/kernels/pick_top.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/device.hpp"
#include "support/random.hpp"

namespace {

enum class Kind { normal, clustered, few_values, special, all_equal };

std::vector<float> scores_of(Kind kind, std::int64_t count, std::uint64_t seed) {
  support::Random random(seed);
  constexpr float kInf = std::numeric_limits<float>::infinity();
  float const special[] = {kInf, -kInf, std::nanf(""), -std::nanf(""), 0.0F, -0.0F, 1e-40F, -1e-40F, 3e38F, 1.0F};
  std::vector<float> scores;
  for (std::int64_t i = 0; i < count; ++i) {
    switch (kind) {
      case Kind::normal: scores.push_back(static_cast<float>(random.normal())); break;
      case Kind::clustered: scores.push_back(300.0F + static_cast<float>(random.uniform())); break;
      case Kind::few_values: scores.push_back(static_cast<float>(random.below(5)) - 2.0F); break;
      case Kind::special: scores.push_back(special[random.below(10)]); break;
      case Kind::all_equal: scores.push_back(-1.5F); break;
    }
  }
  return scores;
}

struct Rows {
  std::int64_t rows, units, stride, room;
};

void equals_the_cpu(Kind kind, Rows const& size, bool ties_to_higher, bool with_candidates) {
  CAPTURE(static_cast<int>(kind), size.rows, size.units, ties_to_higher, with_candidates);
  support::Random random(static_cast<std::uint64_t>(size.units));
  auto const scores = scores_of(kind, size.rows * size.stride, static_cast<std::uint64_t>(size.units) + 1);
  std::vector<std::int32_t> wanted, candidates;
  for (std::int64_t row = 0; row < size.rows; ++row) {
    candidates.push_back(static_cast<std::int32_t>(row == 0 ? size.units : random.below(size.units + 1)));
    std::int64_t const most = std::min<std::int64_t>(size.room, size.units);
    wanted.push_back(static_cast<std::int32_t>(row == 1 ? 0 : row == 2 ? most : random.below(most + 1)));
  }
  std::vector<std::int32_t> units(static_cast<std::size_t>(size.rows * size.room)), counts(wanted.size());
  std::vector<float> cpu_scratch(static_cast<std::size_t>(size.units) + 64);

  support::DeviceArray<float> d_scores(scores);
  support::DeviceArray<std::int32_t> d_wanted(wanted), d_candidates(candidates), d_units(units.size()),
      d_counts(counts.size());
  auto const args = [&](float const* s, std::int32_t const* w, std::int32_t const* c, std::int32_t* u,
                        std::int32_t* n) {
    lacuna::PickTopArgs a;
    a.scores = {s, {size.rows, size.units}, {size.stride, 1}};
    a.wanted = lacuna::dense_view<std::int32_t const, 1>(w, {size.rows});
    if (with_candidates) a.candidates = lacuna::dense_view<std::int32_t const, 1>(c, {size.rows});
    a.units = lacuna::dense_view<std::int32_t, 2>(u, {size.rows, size.room});
    a.counts = lacuna::dense_view<std::int32_t, 1>(n, {size.rows});
    a.ties_to_higher = ties_to_higher;
    return a;
  };
  auto cpu = args(scores.data(), wanted.data(), candidates.data(), units.data(), counts.data());
  cpu.scratch = {cpu_scratch.data(), cpu_scratch.size() * sizeof(float)};
  std::align_val_t const aligned{64};
  void* const memory = ::operator new(cpu_scratch.size() * sizeof(float), aligned);
  cpu.scratch = {memory, cpu_scratch.size() * sizeof(float)};
  REQUIRE(std::string(lacuna::pick_top(lacuna::Cpu{}, cpu).message) == "");
  ::operator delete(memory, aligned);

  support::Stream stream;
  lacuna::Workspace wanted_bytes;
  lacuna::reserve_pick_top(lacuna::Cuda{stream}, size.rows, size.units, wanted_bytes);
  support::DeviceMemory scratch(wanted_bytes.used_bytes());
  auto gpu = args(d_scores.data(), d_wanted.data(), d_candidates.data(), d_units.data(), d_counts.data());
  gpu.scratch = scratch.workspace();
  REQUIRE(std::string(lacuna::pick_top(lacuna::Cuda{stream}, gpu).message) == "");
  stream.wait();
  REQUIRE(d_counts.download() == counts);
  auto const got = d_units.download();
  for (std::int64_t row = 0; row < size.rows; ++row)
    for (std::int64_t i = 0; i < size.room; ++i) {
      std::size_t const at = static_cast<std::size_t>(row * size.room + i);
      std::int32_t const expected =
          i < counts[static_cast<std::size_t>(row)] ? units[at] : static_cast<std::int32_t>(0xFDFDFDFD);
      if (got[at] != expected) {
        CAPTURE(row, i, got[at], expected);
        REQUIRE(got[at] == expected);
      }
    }
  REQUIRE(d_units.guards_untouched());
  REQUIRE(d_counts.guards_untouched());
  REQUIRE(scratch.guards_untouched());
}

TEST_CASE("cuda pick top: the units of the CPU, whatever the scores and the length", "[cuda]") {
  for (Kind kind : {Kind::normal, Kind::clustered, Kind::few_values, Kind::special, Kind::all_equal})
    for (bool higher : {false, true})
      for (Rows const& size :
           {Rows{5, 1, 1, 1}, Rows{7, 37, 40, 37}, Rows{9, 1024, 1024, 500}, Rows{5, 3001, 3003, 999},
            Rows{6, 8192, 8192, 8192}, Rows{4, 16000, 16000, 410}, Rows{4, 32768, 32768, 4096}}) {
        equals_the_cpu(kind, size, higher, true);
        if (size.room >= size.units) equals_the_cpu(kind, size, higher, false);
      }
}

TEST_CASE("cuda pick top: rows that several blocks share", "[cuda]") {
  for (Kind kind : {Kind::normal, Kind::clustered, Kind::few_values, Kind::special, Kind::all_equal})
    for (bool higher : {false, true}) {
      equals_the_cpu(kind, {4, 32769, 32769, 32769}, higher, true);
      equals_the_cpu(kind, {3, 131072, 131072, 13107}, higher, true);
    }
  equals_the_cpu(Kind::normal, {3, 1000003, 1000004, 100000}, false, true);
}

TEST_CASE("cuda pick pages: the current page follows the best of the full ones", "[cuda]") {
  std::int64_t const batch = 3, heads_kv = 2, pages = 70, page_tokens = 16, room = 9;
  for (std::int64_t per_head : {1, 4}) {
    std::int64_t const rows = batch * heads_kv * per_head;
    auto const scores = scores_of(Kind::normal, rows * pages, 9);
    std::vector<std::int32_t> const lens{0, 1, 16, 17, 1000, 1120};
    std::vector<std::int32_t> const wanted(static_cast<std::size_t>(rows), 50);  // more than there is room for
    support::DeviceArray<float> d_scores(scores);
    support::DeviceArray<std::int32_t> d_lens(lens), d_wanted(wanted), d_pages(static_cast<std::size_t>(rows * room)),
        d_counts(wanted.size()), d_lens_out(wanted.size());
    lacuna::PickPagesBatchArgs args;
    args.scores = lacuna::dense_view<float const, 2>(d_scores.data(), {rows, pages});
    args.wanted = lacuna::dense_view<std::int32_t const, 1>(d_wanted.data(), {rows});
    args.lens = lacuna::dense_view<std::int32_t const, 2>(d_lens.data(), {batch, heads_kv});
    args.index = {lacuna::dense_view<std::int32_t, 2>(d_pages.data(), {rows, room}),
                  lacuna::dense_view<std::int32_t, 1>(d_counts.data(), {rows}),
                  lacuna::dense_view<std::int32_t, 1>(d_lens_out.data(), {rows}), page_tokens};
    support::Stream stream;
    REQUIRE(std::string(lacuna::pick_pages(lacuna::Cuda{stream}, args).message) == "");
    stream.wait();
    auto const counts = d_counts.download(), got = d_pages.download(), lens_out = d_lens_out.download();
    for (std::int64_t row = 0; row < rows; ++row) {
      std::size_t const at = static_cast<std::size_t>(row);
      std::int32_t const len = lens[at / static_cast<std::size_t>(per_head)];
      std::int64_t const full = len == 0 ? 0 : (len - 1) / page_tokens;
      CAPTURE(row, len);
      REQUIRE(lens_out[at] == len);
      REQUIRE(counts[at] == (len == 0 ? 0 : std::min<std::int64_t>(full, room - 1) + 1));
      if (len > 0) REQUIRE(got[static_cast<std::size_t>(row * room + counts[at] - 1)] == full);
      for (std::int64_t i = 0; i + 1 < counts[at]; ++i) {
        std::int32_t const page = got[static_cast<std::size_t>(row * room + i)];
        REQUIRE(page < full);
        std::int64_t better = 0;
        for (std::int64_t p = 0; p < full; ++p)
          better +=
              scores[static_cast<std::size_t>(row * pages + p)] > scores[static_cast<std::size_t>(row * pages + page)];
        REQUIRE(better < room - 1);
      }
    }
  }
}

}  // namespace
