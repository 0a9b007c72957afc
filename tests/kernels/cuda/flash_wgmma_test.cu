#include "lacuna/kernels/cuda/flash_wgmma.cuh"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/index/block_index.hpp"
#include "lacuna/index/vertical_slash_index.hpp"
#include "lacuna/kernels/cuda/flash_wgmma_vertical_slash.cuh"
#include "reference/attention.hpp"
#include "reference/block_sparse.hpp"
#include "reference/vertical_slash.hpp"
#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/device.hpp"
#include "support/inputs.hpp"
#include "support/random.hpp"

namespace flash_wgmma_test {

/// A ring of one stage: a hand-over that goes wrong shows at once.
template <class T, int Dim>
struct OneStageTile : lacuna::cuda::WideTile<T, Dim> {
  static constexpr int stages = 1, query_buffers = 1;
};

}  // namespace flash_wgmma_test

namespace {

using namespace support;
namespace ref = reference;
using lacuna::bfloat16;
using lacuna::half;

DeviceMemory flash_scratch() {
  lacuna::Workspace counting;
  lacuna::cuda::reserve_flash_wgmma(counting);
  return DeviceMemory(counting.used_bytes());
}
template <class T>
DeviceMemory slash_scratch(BatchCase<T> const& c, lacuna::VerticalSlashIndex const& index) {
  auto const batch = static_cast<std::int64_t>(c.sequences().size());
  lacuna::Workspace counting;
  lacuna::cuda::reserve_flash_wgmma_slashes<T>(counting, batch, index.counts.extent(0) / batch, index.columns.extent(1),
                                               c.sequences()[0].dim);
  return DeviceMemory(counting.used_bytes());
}

/// Random lists of a batch, on the host for the oracle and on the device for the kernel.
struct Lists {
  std::int64_t tokens, heads, room = 1, rows = 0;
  std::vector<std::int64_t> first_row, first_block;
  std::vector<std::vector<ref::Units>> kept;  // [heads][rows]
  std::unique_ptr<DeviceArray<std::int32_t>> blocks, counts;

  template <class T>
  Lists(BatchCase<T> const& c, std::int64_t block_tokens, bool shared, double density, std::uint64_t seed)
      : tokens(block_tokens) {
    auto const& sequences = c.sequences();
    heads = shared ? sequences[0].heads_kv : sequences[0].heads_q;
    std::int64_t first_query = 0;
    for (std::size_t b = 0; b < sequences.size(); ++b) {
      first_row.push_back(lacuna::BlockIndex::first_row(static_cast<std::int64_t>(b), first_query, tokens));
      first_block.push_back(ref::first_query_block(sequences[b], tokens));
      first_query += sequences[b].len_q;
      rows = first_row.back() +
             (sequences[b].len_q == 0 ? 0 : ref::end_query_block(sequences[b], tokens) - first_block.back());
      room = std::max(room, ref::end_query_block(sequences[b], tokens));
    }
    Random random(seed);
    std::vector<std::int32_t> ids(static_cast<std::size_t>(heads * rows * room), 0x3ffffff);  // poison
    std::vector<std::int32_t> lengths(static_cast<std::size_t>(heads * rows), 0x3ffffff);
    kept.assign(static_cast<std::size_t>(heads), std::vector<ref::Units>(static_cast<std::size_t>(rows)));
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::size_t b = 0; b < sequences.size(); ++b) {
        if (sequences[b].len_q == 0) continue;
        for (std::int64_t m = first_block[b]; m < ref::end_query_block(sequences[b], tokens); ++m) {
          std::int64_t const row = first_row[b] + m - first_block[b];
          ref::Units units = random.subset(m, density);
          if (random.uniform() < 0.8) units.push_back(m);  // the diagonal is not always there, and a row may be empty
          kept[static_cast<std::size_t>(h)][static_cast<std::size_t>(row)] = units;
          lengths[static_cast<std::size_t>(h * rows + row)] = static_cast<std::int32_t>(units.size());
          for (std::size_t e = 0; e < units.size(); ++e)
            ids[static_cast<std::size_t>((h * rows + row) * room) + e] = static_cast<std::int32_t>(units[e]);
        }
      }
    blocks = std::make_unique<DeviceArray<std::int32_t>>(ids);
    counts = std::make_unique<DeviceArray<std::int32_t>>(lengths);
  }

  lacuna::BlockIndex index() const {
    lacuna::BlockIndex index;
    index.blocks = lacuna::dense_view<std::int32_t, 2>(blocks->data(), {heads, rows * room});
    index.counts = lacuna::dense_view<std::int32_t, 2>(counts->data(), {heads, rows});
    index.block_tokens = tokens;
    index.room = room;
    return index;
  }
  ref::Keys keys(ref::Inputs const& in, std::size_t sequence, std::int64_t head, std::int64_t query) const {
    std::int64_t const at = in.position(query);
    std::size_t const row = static_cast<std::size_t>(first_row[sequence] + at / tokens - first_block[sequence]);
    return ref::block_keys(kept[static_cast<std::size_t>(head * heads / in.heads_q)][row], at, tokens);
  }
};

/// Runs `launch(exec, scratch)` twice; the answers must be right, alike, and all that was written.
template <class T, class Launch, class KeysOf>
void equals_the_oracle(BatchCase<T>& c, DeviceMemory const& scratch, Launch const& launch, KeysOf const& keys_of,
                       Data data = Data::random) {
  Stream stream;
  lacuna::Status const status = launch(lacuna::Cuda{stream}, scratch.workspace());
  REQUIRE(std::string(status.message) == "");
  stream.wait();
  c.fetch();
  REQUIRE(c.nothing_else_was_written());
  REQUIRE(scratch.guards_untouched());
  for (std::size_t b = 0; b < c.sequences().size(); ++b) {
    ref::Inputs const& in = c.sequences()[b];
    CAPTURE(b, in.len_q, in.len_k);
    auto const exact = ref::attend(in, [&](std::int64_t head, std::int64_t row) { return keys_of(b, head, row); });
    REQUIRE(explain_answer(c.answer(b), exact, data) == "");
  }
  auto const bits = c.out_bits();
  c.poison_answers();
  REQUIRE(static_cast<bool>(launch(lacuna::Cuda{stream}, scratch.workspace())));
  stream.wait();
  c.fetch();
  REQUIRE(bits == c.out_bits());
}

template <class T>
bool served(BatchCase<T> const& c) {
  return lacuna::cuda::flash_wgmma_serves(c.problem(), c.out());
}

template <class T>
void dense_equals_the_oracle(std::vector<ref::Inputs> sequences, Layout layout = {}, Data data = Data::random) {
  BatchCase<T> c(std::move(sequences), layout);
  REQUIRE(served(c));
  equals_the_oracle(
      c, flash_scratch(),
      [&](lacuna::Cuda exec, lacuna::Workspace scratch) {
        return lacuna::cuda::launch_flash_wgmma(exec, c.problem(), c.out(), scratch);
      },
      [&](std::size_t b, std::int64_t, std::int64_t row) { return ref::dense_keys(c.sequences()[b], row); }, data);
}

template <class T>
void blocks_equal_the_oracle(std::vector<ref::Inputs> sequences, std::int64_t tokens, bool shared, Layout layout = {},
                             double density = 0.4) {
  BatchCase<T> c(std::move(sequences), layout);
  Lists const lists(c, tokens, shared, density, 17);
  REQUIRE(lacuna::cuda::flash_wgmma_serves(c.problem(), c.out(), lists.index()));
  equals_the_oracle(
      c, flash_scratch(),
      [&](lacuna::Cuda exec, lacuna::Workspace scratch) {
        return lacuna::cuda::launch_flash_wgmma(exec, c.problem(), c.out(), lists.index(), scratch);
      },
      [&](std::size_t b, std::int64_t head, std::int64_t row) { return lists.keys(c.sequences()[b], b, head, row); });
}

/// Random columns and diagonals of a batch.
struct Slashes {
  std::int64_t heads, room = 1;
  std::vector<ref::Units> columns, diagonals;  // [batch * heads]
  std::unique_ptr<DeviceArray<std::int32_t>> d_columns, d_diagonals, d_counts;

  template <class T>
  Slashes(BatchCase<T> const& c, bool shared, double density, std::uint64_t seed) {
    auto const& sequences = c.sequences();
    heads = shared ? sequences[0].heads_kv : sequences[0].heads_q;
    Random random(seed);
    for (ref::Inputs const& in : sequences)
      for (std::int64_t h = 0; h < heads; ++h) {
        columns.push_back(random.subset(in.len_k, density));
        diagonals.push_back(random.subset(in.len_k, density * 0.5));
        if (random.uniform() < 0.7 && (diagonals.back().empty() || diagonals.back()[0] != 0))
          diagonals.back().insert(diagonals.back().begin(), 0);
        if (random.uniform() < 0.1) diagonals.back().clear();
        if (random.uniform() < 0.1) columns.back().clear();
        room = std::max({room, static_cast<std::int64_t>(columns.back().size()),
                         static_cast<std::int64_t>(diagonals.back().size())});
      }
    std::vector<std::int32_t> ids(columns.size() * static_cast<std::size_t>(room), -12345), offsets(ids), counts;
    for (std::size_t row = 0; row < columns.size(); ++row) {
      std::size_t const at = row * static_cast<std::size_t>(room);
      std::copy(columns[row].begin(), columns[row].end(), ids.begin() + static_cast<std::ptrdiff_t>(at));
      std::copy(diagonals[row].begin(), diagonals[row].end(), offsets.begin() + static_cast<std::ptrdiff_t>(at));
      counts.push_back(static_cast<std::int32_t>(columns[row].size()));
      counts.push_back(static_cast<std::int32_t>(diagonals[row].size()));
    }
    d_columns = std::make_unique<DeviceArray<std::int32_t>>(ids);
    d_diagonals = std::make_unique<DeviceArray<std::int32_t>>(offsets);
    d_counts = std::make_unique<DeviceArray<std::int32_t>>(counts);
  }
  lacuna::VerticalSlashIndex index() const {
    auto const rows = static_cast<std::int64_t>(columns.size());
    lacuna::VerticalSlashIndex index;
    index.columns = lacuna::dense_view<std::int32_t, 2>(d_columns->data(), {rows, room});
    index.diagonals = lacuna::dense_view<std::int32_t, 2>(d_diagonals->data(), {rows, room});
    index.counts = lacuna::dense_view<std::int32_t, 2>(d_counts->data(), {rows, 2});
    return index;
  }
};

template <class T>
void slashes_equal_the_oracle(std::vector<ref::Inputs> sequences, bool shared, double density, Layout layout = {}) {
  BatchCase<T> c(std::move(sequences), layout);
  Slashes const slashes(c, shared, density, 23);
  lacuna::VerticalSlashIndex const index = slashes.index();
  REQUIRE(lacuna::cuda::flash_wgmma_serves(c.problem(), c.out(), index));
  equals_the_oracle(
      c, slash_scratch(c, index),
      [&](lacuna::Cuda exec, lacuna::Workspace scratch) {
        return lacuna::cuda::launch_flash_wgmma(exec, c.problem(), c.out(), index, scratch);
      },
      [&](std::size_t b, std::int64_t head, std::int64_t row) {
        ref::Inputs const& in = c.sequences()[b];
        std::size_t const at =
            b * static_cast<std::size_t>(slashes.heads) + static_cast<std::size_t>(head * slashes.heads / in.heads_q);
        return ref::vertical_slash_keys(slashes.columns[at], slashes.diagonals[at], in.position(row), index.tile);
      });
}

/// A ragged batch: a long prompt, a chunk at the end of a longer cache, nothing, a single query, a single token.
template <class T>
std::vector<ref::Inputs> ragged(std::int64_t dim, std::int64_t heads_kv, std::int64_t group, Data data = Data::random) {
  std::vector<ref::Inputs> sequences;
  std::int64_t const sizes[][2] = {{300, 300}, {77, 401}, {0, 90}, {1, 130}, {1, 1}, {129, 256}};
  std::uint64_t seed = 5;
  for (auto const& [len_q, len_k] : sizes)
    sequences.push_back(make_inputs<T>({len_q, len_k, heads_kv, group, dim}, data, seed++));
  return sequences;
}

/// Whether this device and build have the kernel at all.
bool here() {
  return lacuna::cuda::has_hopper_body(lacuna::cuda::flash_wgmma_kernel<lacuna::cuda::WideTile<bfloat16, 128>>);
}

TEST_CASE("cuda flash_wgmma: one full tile", "[cuda][hopper]") {
  if (!here()) return;
  dense_equals_the_oracle<bfloat16>({make_inputs<bfloat16>({128, 128, 1, 1, 128}, Data::random, 1)});
  dense_equals_the_oracle<bfloat16>({make_inputs<bfloat16>({512, 512, 1, 2, 128}, Data::random, 2)});
}

TEMPLATE_TEST_CASE("cuda flash_wgmma: dense equals the oracle", "[cuda][hopper]", bfloat16, half) {
  if (!here()) return;
  std::int64_t const dim = GENERATE(64, 128, 256);
  std::int64_t const group = GENERATE(1, 4, 7);
  CAPTURE(dim, group);
  dense_equals_the_oracle<TestType>(ragged<TestType>(dim, 2, group));
}

TEST_CASE("cuda flash_wgmma: dense over other layouts", "[cuda][hopper]") {
  if (!here()) return;
  dense_equals_the_oracle<bfloat16>(ragged<bfloat16>(128, 2, 2), {true, 0, 0});
  dense_equals_the_oracle<bfloat16>(ragged<bfloat16>(128, 2, 2), {false, 8, 0});
  for (std::int64_t const page : {16, 48, 64, 128, 256}) {
    CAPTURE(page);
    dense_equals_the_oracle<bfloat16>(ragged<bfloat16>(128, 2, 2), {false, 0, page});
  }
  dense_equals_the_oracle<half>(ragged<half>(64, 2, 2), {false, 0, 32});
  dense_equals_the_oracle<half>(ragged<half>(256, 2, 2), {false, 0, 32});
}

TEST_CASE("cuda flash_wgmma: window, cap and sinks", "[cuda][hopper]") {
  if (!here()) return;
  std::int64_t const dim = GENERATE(64, 128, 256);
  std::int64_t const window = GENERATE(0, 1, 100, 128, 200);
  double const cap = GENERATE(0.0, 3.0, 50.0);
  auto sequences = ragged<bfloat16>(dim, 1, 3);
  for (ref::Inputs& in : sequences) {
    in.window_tokens = window;
    in.soft_cap = cap;
    in.sink_logits = {0.5, -2.0, 3.0};
  }
  CAPTURE(dim, window, cap);
  dense_equals_the_oracle<bfloat16>(sequences);
}

TEST_CASE("cuda flash_wgmma: data that hurts", "[cuda][hopper]") {
  if (!here()) return;
  Data const data = GENERATE(Data::ties, Data::huge, Data::nan_key, Data::infinite_query);
  CAPTURE(name_of(data));
  dense_equals_the_oracle<bfloat16>(ragged<bfloat16>(128, 1, 2, data), {}, data);
  dense_equals_the_oracle<half>(ragged<half>(64, 1, 2, data), {}, data);
}

TEMPLATE_TEST_CASE("cuda flash_wgmma: block lists equal the oracle", "[cuda][hopper]", bfloat16, half) {
  if (!here()) return;
  std::int64_t const dim = GENERATE(64, 128, 256);
  std::int64_t const tokens = GENERATE(64, 128, 256);
  bool const shared = GENERATE(false, true);
  CAPTURE(dim, tokens, shared);
  blocks_equal_the_oracle<TestType>(ragged<TestType>(dim, 2, 2), tokens, shared);
}

TEMPLATE_TEST_CASE("cuda flash_wgmma: fine blocks shared by a group equal the oracle", "[cuda][hopper]", bfloat16,
                   half) {
  if (!here()) return;
  std::int64_t const dim = GENERATE(64, 128, 256);
  std::int64_t const tokens = GENERATE(16, 32);
  std::int64_t const group = GENERATE(4, 5, 7);
  CAPTURE(dim, tokens, group);
  blocks_equal_the_oracle<TestType>(ragged<TestType>(dim, 2, group), tokens, true);
  blocks_equal_the_oracle<TestType>(ragged<TestType>(dim, 2, group), tokens, true, {false, 0, 16});
}

TEST_CASE("cuda flash_wgmma: block lists over other layouts and densities", "[cuda][hopper]") {
  if (!here()) return;
  for (std::int64_t const tokens : {16, 64, 128})
    for (double const density : {0.0, 0.1, 1.0})
      for (std::int64_t const page : {0, 16, 64}) {
        CAPTURE(tokens, density, page);
        blocks_equal_the_oracle<bfloat16>(ragged<bfloat16>(128, 2, 4), tokens, true, {page == 0, 0, page}, density);
      }
}

TEMPLATE_TEST_CASE("cuda flash_wgmma: columns and diagonals equal the oracle", "[cuda][hopper]", bfloat16, half) {
  if (!here()) return;
  std::int64_t const dim = GENERATE(64, 128, 256);
  double const density = GENERATE(0.02, 0.2, 0.9);
  bool const shared = GENERATE(false, true);
  CAPTURE(dim, density, shared);
  slashes_equal_the_oracle<TestType>(ragged<TestType>(dim, 2, 2), shared, density, {shared, 0, 0});
}

TEST_CASE("cuda flash_wgmma: long lists of columns and diagonals", "[cuda][hopper]") {
  if (!here()) return;
  double const density = GENERATE(0.01, 0.05, 0.3);
  CAPTURE(density);
  slashes_equal_the_oracle<bfloat16>({make_inputs<bfloat16>({1500, 1500, 1, 2, 128}, Data::random, 3),
                                      make_inputs<bfloat16>({200, 3000, 1, 2, 128}, Data::random, 4)},
                                     false, density);
}

TEST_CASE("cuda flash_wgmma: a ring of one stage", "[cuda][hopper]") {
  if (!here()) return;
  using Tile = flash_wgmma_test::OneStageTile<bfloat16, 128>;
  BatchCase<bfloat16> c(ragged<bfloat16>(128, 2, 3));
  equals_the_oracle(
      c, flash_scratch(),
      [&](lacuna::Cuda exec, lacuna::Workspace scratch) {
        return lacuna::cuda::detail::launch_flash<Tile>(exec, c.problem(), c.out(), 0,
                                                        lacuna::cuda::HopperPlan<Tile>::rows, scratch,
                                                        [](auto&) { return lacuna::Status{}; });
      },
      [&](std::size_t b, std::int64_t, std::int64_t row) { return ref::dense_keys(c.sequences()[b], row); });
}

TEST_CASE("cuda flash_wgmma: says no to what the copy engine cannot fetch", "[cuda][hopper]") {
  if (!here()) return;
  BatchCase<bfloat16> odd_stride(ragged<bfloat16>(128, 2, 2), {false, 1, 0});
  REQUIRE_FALSE(served(odd_stride));
  BatchCase<bfloat16> small_page(ragged<bfloat16>(128, 2, 2), {false, 0, 8});
  REQUIRE_FALSE(served(small_page));
  BatchCase<bfloat16> per_head(ragged<bfloat16>(128, 2, 4));
  Lists const lists(per_head, 16, false, 0.3, 3);
  REQUIRE_FALSE(lacuna::cuda::flash_wgmma_serves(per_head.problem(), per_head.out(), lists.index()));
}

}  // namespace
