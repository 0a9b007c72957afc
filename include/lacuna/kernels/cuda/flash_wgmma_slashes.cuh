#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/primitives/warp.cuh"

namespace lacuna::cuda {

/// Columns and diagonals as a kernel takes them; rows are query heads or KV heads of each sequence.
struct HopperSlashes {
  std::int32_t const* columns = nullptr;
  std::int32_t const* diagonals = nullptr;
  std::int32_t const* counts = nullptr;  // [rows, 2]
  std::int64_t columns_stride = 0, diagonals_stride = 0;
  std::int32_t heads = 0;           // rows of a sequence
  std::int32_t heads_per_list = 1;  // query heads that share a row
};

inline constexpr std::int32_t kSlashTile = 64;

/// What one block of 64 positions reads, in steps of `Keys` keys, found by one warp as it goes: the tiles that its
/// diagonals make, in ascending order, and between them the columns that no tile covers, in runs of `Keys` neighbours
/// of the head's list with a bit for each that counts. Tiles and columns are those of row_block_runs.
template <int Keys>
class SlashWalk {
  static constexpr int kWords = Keys / 32;

 public:
  struct Step {
    bool columns;                // or a tile
    std::int32_t key;            // of a tile its first key, else the place of the first column in its list
    std::uint32_t bits[kWords];  // of columns: those that count
  };

  __device__ void open(HopperSlashes const& slashes, std::int64_t row, std::int32_t block_end) {
    diagonals_ = slashes.diagonals + row * slashes.diagonals_stride;
    columns_ = slashes.columns + row * slashes.columns_stride;
    column_count_ = slashes.counts[row * 2];
    block_end_ = block_end;
    remaining_ = below(diagonals_, slashes.counts[row * 2 + 1], block_end);
    end_ = INT32_MIN / 2;
    tile_key_ = tile_end_ = 0;
    load_ends();
    run_ = 0;
    load_columns(next_);
    take_columns();
  }

  /// False: there are no more.
  __device__ bool next(Step& step) {
    for (;;) {
      if (tile_key_ == tile_end_ && find_tile()) {
        tile_end_ = end_;
        tile_key_ = end_ - kSlashTile;
        fresh_tile_ = true;
      }
      bool const tile = tile_key_ != tile_end_;
      if (run_ < column_count_ && first_column_ < end_ && (fresh_tile_ || !tile)) {
        uncover(tile);
        if (!tile || last_column_ < end_) {
          step.columns = true;
          step.key = run_;
          std::uint32_t any = 0;
#pragma unroll
          for (int w = 0; w < kWords; ++w) any |= step.bits[w] = bits_[w];
          run_ += Keys;
          take_columns();
          if (any != 0) return true;
          continue;
        }
      }
      fresh_tile_ = false;
      if (!tile) return false;
      step.columns = false;
      step.key = tile_key_;
      tile_key_ += Keys;
      return true;
    }
  }

 private:
  /// How many of the ascending numbers are below `bound`.
  __device__ static std::int32_t below(std::int32_t const* numbers, std::int32_t count, std::int32_t bound) {
    std::int32_t begin = 0, end = count;  // the answer is in [begin, end]
    while (begin < end) {
      std::int32_t const stride = (end - begin + 31) / 32;
      std::int32_t const at = begin + (lane_id() + 1) * stride - 1;
      unsigned const smaller = __ballot_sync(kAllLanes, at < end && numbers[at] < bound);
      std::int32_t const passed = __popc(smaller);  // the first so many probes
      end = min(end, begin + (passed + 1) * stride - 1);
      begin += passed * stride;
    }
    return begin;
  }

  /// Descending diagonals are ascending ends of tiles; 32 of them at a time, one a lane.
  __device__ void load_ends() {
    std::int32_t const at = remaining_ - 1 - lane_id();
    ends_ = at >= 0 ? max(block_end_ - diagonals_[at], kSlashTile) : INT32_MIN;
  }
  __device__ bool find_tile() {
    while (remaining_ > 0) {
      unsigned const later = __ballot_sync(kAllLanes, ends_ > end_);
      if (later != 0) {
        std::int32_t const found = __shfl_sync(kAllLanes, ends_, __ffs(static_cast<int>(later)) - 1);
        end_ = found <= end_ + kSlashTile ? end_ + kSlashTile : found;  // by one whole tile, or a new run
        return true;
      }
      remaining_ -= 32;
      load_ends();
    }
    return false;
  }

  __device__ void load_columns(std::int32_t (&columns)[kWords]) const {
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      std::int32_t const at = run_ + w * 32 + lane_id();
      columns[w] = at < column_count_ ? columns_[at] : INT32_MAX;
    }
  }
  /// The run at run_ becomes the current one; the one behind it is asked for.
  __device__ void take_columns() {
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      current_[w] = next_[w];
      bits_[w] = 0xffffffffU;
    }
    first_column_ = __shfl_sync(kAllLanes, current_[0], 0);
    last_column_ = __shfl_sync(kAllLanes, current_[kWords - 1], 31);
    run_ += Keys;
    load_columns(next_);
    run_ -= Keys;
  }
  /// The tile that was found covers some columns of the current run; behind the last tile none count.
  __device__ void uncover(bool tile) {
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      bool const counts = tile ? current_[w] < end_ - kSlashTile || current_[w] >= end_ : current_[w] < end_;
      bits_[w] &= __ballot_sync(kAllLanes, counts);
    }
  }

  std::int32_t const* diagonals_;
  std::int32_t const* columns_;
  std::int32_t column_count_, block_end_;
  std::int32_t remaining_;            // diagonals not yet behind us, those of the lanes included
  std::int32_t ends_;                 // this lane's
  std::int32_t end_;                  // of the latest tile
  std::int32_t tile_key_, tile_end_;  // what is left of it to hand out
  bool fresh_tile_ = false;           // the columns have not met it yet
  std::int32_t run_;
  std::int32_t current_[kWords], next_[kWords];
  std::uint32_t bits_[kWords];
  std::int32_t first_column_, last_column_;
};

}  // namespace lacuna::cuda
