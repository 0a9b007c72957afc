#include <string>
#include <vector>

#include "lacuna/kernels/attend_vertical_slash.hpp"
#include "reference/vertical_slash.hpp"
#include "support/batch_run.hpp"
#include "support/catch.hpp"
#include "support/on_path.hpp"
#include "support/vertical_slash_case.hpp"

namespace {

using lacuna::bfloat16;
using lacuna::half;
using reference::Units;
using support::BatchCase;
using support::Data;
using support::Layout;
using support::Lengths;
using support::Masks;
using support::Sizes;

/// Columns and diagonals of every head of every sequence, on the device.
class BatchChoice {
 public:
  BatchChoice(std::vector<Units> vertical, std::vector<Units> slash, std::int64_t tile)
      : vertical_(std::move(vertical)),
        slash_(std::move(slash)),
        tile_(tile),
        columns_(ids_of(vertical_)),
        diagonals_(ids_of(slash_)),
        counts_(counts_of()) {}

  lacuna::VerticalSlashIndex index() const {
    auto const rows = static_cast<std::int64_t>(vertical_.size());
    lacuna::VerticalSlashIndex index;
    index.columns = lacuna::dense_view<std::int32_t, 2>(columns_.data(), {rows, capacity(columns_)});
    index.diagonals = lacuna::dense_view<std::int32_t, 2>(diagonals_.data(), {rows, capacity(diagonals_)});
    index.counts = lacuna::dense_view<std::int32_t, 2>(counts_.data(), {rows, 2});
    index.tile = tile_;
    return index;
  }
  reference::Keys keys(std::int64_t row, std::int64_t position) const {
    auto const r = static_cast<std::size_t>(row);
    return reference::vertical_slash_keys(vertical_[r], slash_[r], position, tile_);
  }

 private:
  static std::vector<std::int32_t> ids_of(std::vector<Units> const& rows) {
    std::size_t most = 0;
    for (Units const& row : rows) most = std::max(most, row.size());
    std::vector<std::int32_t> ids(rows.size() * (most + 3), 1 << 28);
    for (std::size_t r = 0; r < rows.size(); ++r)
      for (std::size_t i = 0; i < rows[r].size(); ++i) ids[r * (most + 3) + i] = static_cast<std::int32_t>(rows[r][i]);
    return ids;
  }
  std::vector<std::int32_t> counts_of() const {
    std::vector<std::int32_t> counts;
    for (std::size_t r = 0; r < vertical_.size(); ++r) {
      counts.push_back(static_cast<std::int32_t>(vertical_[r].size()));
      counts.push_back(static_cast<std::int32_t>(slash_[r].size()));
    }
    return counts;
  }
  std::int64_t capacity(support::DeviceArray<std::int32_t> const& ids) const {
    return static_cast<std::int64_t>(ids.size() / vertical_.size());
  }

  std::vector<Units> vertical_, slash_;
  std::int64_t tile_;
  support::DeviceArray<std::int32_t> columns_, diagonals_, counts_;
};

BatchChoice random_choice(std::vector<reference::Inputs> const& inputs, std::int64_t heads, std::int64_t tile) {
  support::Random random(static_cast<std::uint64_t>(heads + tile));
  std::vector<Units> vertical, slash;
  for (reference::Inputs const& in : inputs)
    for (std::int64_t head = 0; head < heads; ++head) {
      double const draw = random.uniform();
      vertical.push_back(random.subset(in.len_k, draw * 0.4));
      slash.push_back(draw < 0.1 ? Units{} : random.subset(in.len_k, random.uniform() * 0.1));
      if (draw > 0.3 && in.len_k > 0 && (slash.back().empty() || slash.back()[0] != 0))
        slash.back().insert(slash.back().begin(), 0);
    }
  return {vertical, slash, tile};
}

template <class T>
std::string attend(BatchCase<T>& c, BatchChoice const& kept) {
  auto const problem = c.problem();
  auto const index = kept.index();
  return support::run_on_device(
      c,
      [&](lacuna::Cuda exec, lacuna::Workspace& w) {
        lacuna::reserve_attend_vertical_slash(exec, lacuna::shape_of(problem), index.heads() / problem.batch,
                                              index.tile, index.columns.extent(1), index.diagonals.extent(1), w);
      },
      [&](lacuna::Cuda exec, lacuna::Workspace w) {
        return lacuna::attend_vertical_slash(exec, lacuna::AttendVerticalSlashBatchArgs<T>{problem, index, c.out(), w});
      });
}

template <class T>
void equals_the_oracle(std::vector<Lengths> const& lengths, Sizes const& sizes, std::int64_t tile, bool shared = false,
                       Data data = Data::random, Masks masks = {}, Layout layout = {}) {
  CAPTURE(name_of(data), sizes.dim, sizes.group, tile, shared, masks.window_tokens, layout.page_tokens);
  auto const inputs = support::make_batch<T>(lengths, sizes, data, masks);
  BatchCase<T> c(inputs, layout);
  std::int64_t const heads = shared ? sizes.heads_kv : sizes.heads_kv * sizes.group;
  BatchChoice const kept = random_choice(inputs, heads, tile);
  for (lacuna::cuda::Path path : support::kPaths) {
    support::OnPath const on_path(path);
    CAPTURE(static_cast<int>(path));
    REQUIRE(attend(c, kept) == "");
    REQUIRE(support::explain_batch(
                c,
                [&](std::size_t b, std::int64_t head, std::int64_t row) {
                  return kept.keys(static_cast<std::int64_t>(b) * heads + head * heads / inputs[b].heads_q,
                                   inputs[b].position(row));
                },
                data) == "");
  }
}

std::vector<Lengths> const kRagged{{65, 65},  {1, 1},    {0, 0},     {17, 130}, {63, 200}, {0, 40},
                                   {64, 128}, {15, 257}, {129, 129}, {2, 2},    {400, 591}};

TEST_CASE("cuda attend vertical-slash: ragged batches and every tile equal the oracle", "[cuda]") {
  for (std::int64_t tile : {8, 16, 64, 128})
    for (bool shared : {false, true}) {
      equals_the_oracle<bfloat16>(kRagged, {0, 0, 2, 4, 128}, tile, shared);
      equals_the_oracle<half>(kRagged, {0, 0, 1, 5, 64}, tile, shared);
    }
  equals_the_oracle<bfloat16>(kRagged, {0, 0, 1, 2, 256}, 64);
}

TEST_CASE("cuda attend vertical-slash: windows, caps and sinks equal the oracle", "[cuda]") {
  for (Masks const& masks : {Masks{50, 0.0, true}, Masks{64, 20.0, false}, Masks{0, 5.0, true}})
    equals_the_oracle<bfloat16>(kRagged, {0, 0, 1, 3, 128}, 64, false, Data::random, masks);
}

TEST_CASE("cuda attend vertical-slash: tied, huge, tiny, NaN and infinite inputs equal the oracle", "[cuda]") {
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key, Data::infinite_query})
    equals_the_oracle<bfloat16>({{70, 150}, {150, 150}}, {0, 0, 1, 2, 128}, 64, false, data);
}

TEST_CASE("cuda attend vertical-slash: pages and padding equal the oracle", "[cuda]") {
  for (Layout const& layout : {Layout{true, 0, 0}, Layout{false, 5, 0}, Layout{false, 8, 1}, Layout{false, 0, 64}})
    equals_the_oracle<bfloat16>(kRagged, {0, 0, 2, 2, 128}, 64, false, Data::random, {}, layout);
}

}  // namespace

// For the tests of whole methods, which do not compile it again (support/cuda_doors.hpp).
template lacuna::Status lacuna::attend_vertical_slash<lacuna::bfloat16>(
    lacuna::Cuda, lacuna::AttendVerticalSlashBatchArgs<lacuna::bfloat16> const&);
