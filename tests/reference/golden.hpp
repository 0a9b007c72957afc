#pragma once

#include <cstdint>
#include <vector>

#include "reference/ranking.hpp"
#include "reference/vertical_slash.hpp"

namespace reference {

/// Tile conversion at tile 64: kept columns and diagonals of one head, and what each block of 64 queries reads.
struct ConversionGolden {
  std::int64_t len;
  Units vertical;
  Units slash;
  std::vector<VerticalSlashRow> rows;
};

inline Units first_offsets(std::int64_t count, Units more = {}) {
  Units offsets = both_ends(count, count, 0);
  offsets.insert(offsets.end(), more.begin(), more.end());
  return offsets;
}

inline std::vector<ConversionGolden> conversion_goldens() {
  return {
      {256,
       {0, 1, 2, 3, 70, 100, 200},
       first_offsets(64),
       {{{0}, {}}, {{1, 65}, {0}}, {{65, 129}, {0, 1, 2, 3}}, {{129, 193}, {0, 1, 2, 3, 70, 100}}}},
      {256,
       {0, 1, 2, 3, 20},
       first_offsets(64, {100, 150}),
       {{{0}, {}}, {{0, 64}, {}}, {{0, 64, 128}, {}}, {{42, 106, 170, 234}, {0, 1, 2, 3, 20}}}},
      {200,
       {0, 1, 2, 3, 90, 130},
       first_offsets(64, {128, 129, 199}),
       {{{0}, {}}, {{1, 65}, {0}}, {{0, 65, 129}, {}}, {{0, 64, 129, 193}, {}}}},
  };
}

/// Length of what one decode step reads with pages of 16 and a budget of 128 tokens. The first is still dense.
struct EffectiveLength {
  std::int64_t len;
  std::int64_t read_tokens;
};

inline std::vector<EffectiveLength> effective_lengths() { return {{144, 144}, {145, 129}, {1000, 136}, {1024, 144}}; }

}  // namespace reference
