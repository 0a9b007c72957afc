// Included by each_target.inl, once for each instruction set: products with a strip of queries or of weights, which
// holds up to 64 rows side by side, one lane each.
namespace lacuna::cpu::LACUNA_TARGET {

/// Of the factors of a product.
struct Part {
  float const *a, *b;
  std::int64_t depth;
};

/// c[i][x] = (add ? c[i][x] : 0) + sum over parts and k < depth of a(i, k) * b[k][x], for i < rows and x < width. a(i,
/// k) lies at a + i * row_stride + k * depth_stride, in floats; b and c are strips. Rows are rounded up to 16 at most.
struct Product {
  Part const* parts;
  std::int64_t part_count;
  std::int64_t row_stride, depth_stride;
  std::int64_t rows;
  float* c;  // [rows, stride]
  std::int64_t stride;
  bool add;
};

/// Pairs: an element of a and of b is two bfloat16, and their product the sum of both products.
template <bool Pairs>
LACUNA_INLINE void multiply_add(Vec& sum, float const* left, Vec const& right) {
#if LACUNA_BF16
  if constexpr (Pairs) {
    std::uint32_t pair;
    std::memcpy(&pair, left, sizeof pair);
    Words const pairs = pair - Words{};
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(pairs), "v"(right));
    return;
  }
#endif
  sum += splat(*left) * right;
}

template <bool Pairs, int Columns>
LACUNA_APART void multiply_columns(Product const& p, std::int64_t x) {
  constexpr int kRows = Columns == LACUNA_COLUMNS ? 4 : (Pairs ? 16 : 8) / Columns;  // sums enough to hide what one takes
  for (std::int64_t i = 0; i < p.rows; i += kRows) {
    Vec sums[kRows][Columns];
    float* const c = p.c + i * p.stride + x;
    LACUNA_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      LACUNA_UNROLL(4)
      for (int v = 0; v < Columns; ++v) sums[r][v] = p.add ? load(c + r * p.stride + v * kLanes) : Vec{};
    }
    for (Part const *part = p.parts, *end = part + p.part_count; part != end; ++part) {
      float const* left = part->a + i * p.row_stride;
      float const* right = part->b + x;
      for (std::int64_t k = 0; k < part->depth; ++k, left += p.depth_stride, right += p.stride) {
        Vec columns[Columns];
        LACUNA_UNROLL(4)
        for (int v = 0; v < Columns; ++v) columns[v] = load(right + v * kLanes);
        LACUNA_UNROLL(16)
        for (int r = 0; r < kRows; ++r) {
          LACUNA_UNROLL(4)
          for (int v = 0; v < Columns; ++v) multiply_add<Pairs>(sums[r][v], left + r * p.row_stride, columns[v]);
        }
      }
    }
    LACUNA_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      LACUNA_UNROLL(4)
      for (int v = 0; v < Columns; ++v) store(c + r * p.stride + v * kLanes, sums[r][v]);
    }
  }
}

/// Width is a multiple of 16, and stride one of what is multiplied at once.
template <bool Pairs>
inline void multiply(Product const& p, std::int64_t width) {
  if constexpr (LACUNA_COLUMNS * kLanes == kStrip) {
    if (width > kStrip / 2) return multiply_columns<Pairs, LACUNA_COLUMNS>(p, 0);
    if (width > kStrip / 4) return multiply_columns<Pairs, LACUNA_COLUMNS / 2>(p, 0);
    return multiply_columns<Pairs, LACUNA_COLUMNS / 4>(p, 0);
  } else {
    for (std::int64_t x = 0; x < width; x += LACUNA_COLUMNS * kLanes) multiply_columns<Pairs, LACUNA_COLUMNS>(p, x);
  }
}

#if LACUNA_BF16 == 2

/// All eight tiles are 16 rows of 64 bytes. Undone by release_tiles.
inline void configure_tiles() {
  struct alignas(64) {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } const config;
  __asm__ volatile("ldtilecfg %0" : : "m"(config));
}

inline void release_tiles() { __asm__ volatile("tilerelease"); }

#define LACUNA_TILE(instruction, tile, p, stride) \
  __asm__ volatile(instruction : : "r"(p), "r"(static_cast<std::int64_t>(stride) * 4) : "memory")
#define LACUNA_LOAD_TILE(tile, p, stride) LACUNA_TILE("tileloadd (%0,%1,1), %%tmm" #tile, tile, p, stride)
#define LACUNA_STORE_TILE(tile, p, stride) LACUNA_TILE("tilestored %%tmm" #tile ", (%0,%1,1)", tile, p, stride)
#define LACUNA_ZERO_TILE(tile) __asm__ volatile("tilezero %%tmm" #tile : :)
#define LACUNA_MULTIPLY_TILES(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)

/// multiply<true> of one part, where rows and width are rounded up to 16, depth to 16 pairs, and depth_stride is 1.
inline void multiply_tiles(Product const& p, std::int64_t width) {
  for (std::int64_t i = 0; i < p.rows; i += 32)
    for (std::int64_t x = 0; x < width; x += 32) {
      bool const low = i + 16 < p.rows, right = x + 16 < width;
      float* const c = p.c + i * p.stride + x;
      if (p.add) {
        LACUNA_LOAD_TILE(0, c, p.stride);
        if (right) LACUNA_LOAD_TILE(1, c + 16, p.stride);
        if (low) LACUNA_LOAD_TILE(2, c + 16 * p.stride, p.stride);
        if (low && right) LACUNA_LOAD_TILE(3, c + 16 * p.stride + 16, p.stride);
      } else {
        LACUNA_ZERO_TILE(0);
        LACUNA_ZERO_TILE(1);
        LACUNA_ZERO_TILE(2);
        LACUNA_ZERO_TILE(3);
      }
      float const* a = p.parts->a + i * p.row_stride;
      float const* b = p.parts->b + x;
      for (std::int64_t k = 0; k < p.parts->depth; k += 16, a += 16, b += 16 * p.stride) {
        LACUNA_LOAD_TILE(4, a, p.row_stride);
        LACUNA_LOAD_TILE(6, b, p.stride);
        LACUNA_MULTIPLY_TILES(0, 4, 6);
        if (right) {
          LACUNA_LOAD_TILE(7, b + 16, p.stride);
          LACUNA_MULTIPLY_TILES(1, 4, 7);
        }
        if (!low) continue;
        LACUNA_LOAD_TILE(5, a + 16 * p.row_stride, p.row_stride);
        LACUNA_MULTIPLY_TILES(2, 5, 6);
        if (right) LACUNA_MULTIPLY_TILES(3, 5, 7);
      }
      LACUNA_STORE_TILE(0, c, p.stride);
      if (right) LACUNA_STORE_TILE(1, c + 16, p.stride);
      if (low) LACUNA_STORE_TILE(2, c + 16 * p.stride, p.stride);
      if (low && right) LACUNA_STORE_TILE(3, c + 16 * p.stride + 16, p.stride);
    }
}

/// Four products with the same b: c[t][i][x] = (add ? c[t][i][x] : 0) + sum over parts and k < depth of a[t](i, k) *
/// b[k][x], for t < count, i < 16 and x < 16. Depth is a multiple of 16 pairs.
struct FourParts {
  float const *a[4], *b;
};

inline void multiply_four_tiles(FourParts const* parts, std::int64_t part_count, std::int64_t row_stride,
                                std::int64_t depth, float* const* c, std::int64_t count, std::int64_t stride,
                                bool add) {
  LACUNA_ZERO_TILE(0);
  LACUNA_ZERO_TILE(1);
  LACUNA_ZERO_TILE(2);
  LACUNA_ZERO_TILE(3);
  if (add) {
    LACUNA_LOAD_TILE(0, c[0], stride);
    if (count > 1) LACUNA_LOAD_TILE(1, c[1], stride);
    if (count > 2) LACUNA_LOAD_TILE(2, c[2], stride);
    if (count > 3) LACUNA_LOAD_TILE(3, c[3], stride);
  }
  for (FourParts const *part = parts, *end = parts + part_count; part != end; ++part)
    for (std::int64_t k = 0; k < depth; k += 16) {
      LACUNA_LOAD_TILE(6, part->b + k * stride, stride);
      LACUNA_LOAD_TILE(4, part->a[0] + k, row_stride);
      LACUNA_MULTIPLY_TILES(0, 4, 6);
      LACUNA_LOAD_TILE(5, part->a[1] + k, row_stride);
      LACUNA_MULTIPLY_TILES(1, 5, 6);
      LACUNA_LOAD_TILE(7, part->a[2] + k, row_stride);
      LACUNA_MULTIPLY_TILES(2, 7, 6);
      LACUNA_LOAD_TILE(4, part->a[3] + k, row_stride);
      LACUNA_MULTIPLY_TILES(3, 4, 6);
    }
  LACUNA_STORE_TILE(0, c[0], stride);
  if (count > 1) LACUNA_STORE_TILE(1, c[1], stride);
  if (count > 2) LACUNA_STORE_TILE(2, c[2], stride);
  if (count > 3) LACUNA_STORE_TILE(3, c[3], stride);
}

/// c[i][x] += a(i, k) * b[k][x] for 64 rows (if not `both`, 32) and 16 columns, where a line holds two rows, 8 pairs
/// each. b has 8 lines of zeros before and behind, so that each half of a line meets its own product.
inline void add_two_row_tiles(Part const* parts, std::int64_t part_count, float* c, std::int64_t stride, bool both) {
  LACUNA_LOAD_TILE(0, c, 2 * stride);
  LACUNA_LOAD_TILE(1, c + stride, 2 * stride);
  if (both) {
    LACUNA_LOAD_TILE(2, c + 32 * stride, 2 * stride);
    LACUNA_LOAD_TILE(3, c + 33 * stride, 2 * stride);
  }
  for (Part const *part = parts, *end = parts + part_count; part != end; ++part) {
    LACUNA_LOAD_TILE(4, part->a, 16);
    LACUNA_LOAD_TILE(6, part->b, stride);
    LACUNA_MULTIPLY_TILES(0, 4, 6);
    LACUNA_LOAD_TILE(7, part->b - 8 * stride, stride);
    LACUNA_MULTIPLY_TILES(1, 4, 7);
    if (!both) continue;
    LACUNA_LOAD_TILE(5, part->a + 256, 16);
    LACUNA_MULTIPLY_TILES(2, 5, 6);
    LACUNA_MULTIPLY_TILES(3, 5, 7);
  }
  LACUNA_STORE_TILE(0, c, 2 * stride);
  LACUNA_STORE_TILE(1, c + stride, 2 * stride);
  if (both) {
    LACUNA_STORE_TILE(2, c + 32 * stride, 2 * stride);
    LACUNA_STORE_TILE(3, c + 33 * stride, 2 * stride);
  }
}

#undef LACUNA_TILE
#undef LACUNA_LOAD_TILE
#undef LACUNA_STORE_TILE
#undef LACUNA_ZERO_TILE
#undef LACUNA_MULTIPLY_TILES
#endif

}  // namespace lacuna::cpu::LACUNA_TARGET
