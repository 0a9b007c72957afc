#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>

#include "lacuna/core/dtype.hpp"
#include "lacuna/kernels/cpu/simd.hpp"
#include "lacuna/kernels/cpu/target.hpp"

namespace lacuna::cpu {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kLog2E = 1.4426950408889634F;
inline constexpr std::int64_t kPanelKeys = 64;   // keys that are read at once
inline constexpr std::int64_t kUnitKeys = 16;    // of a panel: the most that is read of it apart from the rest
inline constexpr std::int64_t kStrip = 64;       // query rows side by side, at most
inline constexpr std::int64_t kDirectRows = 12;  // up to here, putting rows side by side costs more than it saves

constexpr std::int64_t round_up(std::int64_t count, std::int64_t unit) { return (count + unit - 1) / unit * unit; }

/// Floats between rows of `dim` channels, for any instruction set.
constexpr std::int64_t row_floats(std::int64_t dim) { return round_up(dim, 32); }

/// Floats of a panel's keys, and of its values.
constexpr std::int64_t panel_floats(std::int64_t dim) { return kPanelKeys * row_floats(dim); }

/// Scores of a panel of 64 rows, or of as many more keys as there are fewer rows. Some of their neighbours are written
/// too, and those in front are zeros.
inline constexpr std::int64_t kScoresMargin = 8 * kStrip;
inline constexpr std::int64_t kScoresFloats = kPanelKeys * kStrip + 2 * kScoresMargin;

/// Rows that lie side by side where `rows` attend together: few rows are a narrow strip.
constexpr std::int64_t strip_rows(std::int64_t rows) { return rows > 32 ? kStrip : rows > 16 ? 32 : 16; }

/// Up to 64 keys and their values, in the layout that an instruction set multiplies. Panels are the same for every
/// query.
struct Panel {
  float const *keys, *values;  // panel_floats(dim) each
  std::int64_t count;
  bool finite;  // all values
};

/// Some neighbouring keys of one panel; where the grain is 16 or the panel narrow, of 16 that begin at a multiple
/// of 16.
struct KeyUnit {
  float const *keys, *values;  // the panel's
  std::int64_t first, count;   // of the panel's keys
  std::uint64_t absent;        // a bit for each that nobody is to see
};

/// Units of several panels that are read together: their scores lie below each other.
struct KeyUnits {
  static constexpr std::int64_t kMost = 16;

  std::int64_t count = 0, keys = 0;  // units; and keys of all of them
  bool finite = true;                // all values of the panels
  bool narrow = false;               // what pack_panel was told
  KeyUnit units[kMost];
};

/// What becomes of a strip's scores, a row for each key: weights one by one; pairs of keys in one float's place,
/// rounded to bfloat16 and filled up with zeros to 32 keys; or pairs of each 16 keys in the first 8 of their 16 rows,
/// with zeros in the others. Or they stay.
enum class Weights : std::uint8_t { singles, pairs, unit_pairs, none };

/// The memory of a block of query rows; plain data, because every instruction set works on it. A buffer of q or sums is
/// rows, [rows, row_floats(dim)], if direct, otherwise strips, [rows / stride, row_floats(dim), stride].
struct FlashState {
  std::int64_t rows, dim;
  std::int64_t stride = kStrip;  // strip_rows(rows), unless direct
  float scale_log2, sign;        // of the logits: sign is multiplied into the queries
  float squash = 0.0F;           // unless 0, products become tanh(squash * product)
                                 // before they are scaled
  float *q, *sums;
  float *mass, *max;                     // per row: sum of the weights, and what they are relative
                                         // to (without scale)
  float* keys;                           // of a panel that is packed for these rows alone
  float* scores;                         // [keys, stride] with margins, or [rows, kPanelKeys]
  std::int32_t const* hidden = nullptr;  // per row: keys of the panel, from the first, that are too old; null if none

  bool direct() const { return rows <= kDirectRows; }
};

/// Up to 64 keys and their values, each where it lies.
template <Storage T>
struct KeyRows {
  std::int64_t count = 0;
  T const* keys[kPanelKeys];
  T const* values[kPanelKeys];
};

/// What differs between instruction sets.
template <Storage T>
struct FlashKernels {
  void (*pack_queries)(FlashState const&, T const* const* queries);
  /// True if all values are finite. Narrow: a panel for attend_units alone, where 16 keys and their values each lie in
  /// one place.
  bool (*pack_panel)(T const* const* keys, T const* const* values, std::int64_t count, std::int64_t dim,
                     float* panel_keys, float* panel_values, bool narrow);
  /// seen[r]: how many of the keys row r reads, ascending with r; null if all. Not for direct rows.
  void (*attend_panel)(FlashState const&, Panel const& panel, std::int32_t const* seen);
  void (*attend_units)(FlashState const&, KeyUnits const& units, std::int32_t const* seen);
  /// The same for direct rows, from where the keys lie; meanwhile those that come next are fetched.
  void (*attend_rows)(FlashState const&, KeyRows<T> const& rows, KeyRows<T> const& next, std::int32_t const* seen);
  void (*finish)(FlashState const&);  // the sums lie in q, as rows, afterwards, unless direct
  void (*write_row)(float const* sums, float factor, std::int64_t dim, T* out);
  std::int64_t grain;  // units begin and end at multiples of it
};

/// Up to 64 queries against up to 64 keys, for LACUNA_FOR_TARGET(dot_tile<T>)(tile, add, out).
template <Storage T>
struct DotTile {
  float const* const* queries;
  std::int64_t query_count;
  T const* const* keys;
  std::int64_t key_count, dim;
  float* memory;  // dot_tile_floats(dim)
};

constexpr std::int64_t dot_tile_floats(std::int64_t dim) {
  return (kStrip + kPanelKeys) * row_floats(dim) + kPanelKeys * kStrip;
}

/// A row of any storage type as floats, zero padded to row_floats(dim).
template <Storage T>
void widen_row(T const* row, std::int64_t dim, float* out) {
  for (std::int64_t x = 0; x < dim; ++x) out[x] = to_float(row[x]);
  std::fill(out + dim, out + row_floats(dim), 0.0F);
}

}  // namespace lacuna::cpu

#define LACUNA_EACH_TARGET "lacuna/kernels/cpu/product.inl"
#include "lacuna/kernels/cpu/each_target.inl"
#define LACUNA_EACH_TARGET "lacuna/kernels/cpu/strip.inl"
#include "lacuna/kernels/cpu/each_target.inl"
#define LACUNA_EACH_TARGET "lacuna/kernels/cpu/soften.inl"
#include "lacuna/kernels/cpu/each_target.inl"
#define LACUNA_EACH_TARGET "lacuna/kernels/cpu/rows.inl"
#include "lacuna/kernels/cpu/each_target.inl"
#define LACUNA_EACH_TARGET "lacuna/kernels/cpu/flash.inl"
#include "lacuna/kernels/cpu/each_target.inl"
