// Included by each_target.inl, once for each instruction set: products of a panel of keys or values with a strip of
// queries. A strip holds 64 query rows side by side, one lane each, so that the softmax needs no sum across lanes, and
// keys and values are read as rows, from wherever they lie. Fewer rows than 64 make a narrower strip.
namespace lacuna::cpu::LACUNA_TARGET {

/// c[i][x] = (add ? c[i][x] : 0) + sum over k < depth of a(i, k) * b[k][x], for i < rows and x < width. a(i, k) lies at
/// a + i * row_stride + k * depth_stride, in floats; b and c are strips. Rows are rounded up to eights.
struct Product {
  float const* a;
  std::int64_t row_stride, depth_stride;
  std::int64_t rows, depth;
  float const* b;  // [depth, stride]
  float* c;        // [rows, stride]
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
inline void multiply_columns(Product const& p, std::int64_t x) {
  constexpr int kRows = Columns == 1 ? 8 : 4;  // as many sums as keep the multipliers busy
  for (std::int64_t i = 0; i < p.rows; i += kRows) {
    Vec sums[kRows][Columns];
    float* const c = p.c + i * p.stride + x;
    LACUNA_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      LACUNA_UNROLL(4)
      for (int v = 0; v < Columns; ++v) sums[r][v] = p.add ? load(c + r * p.stride + v * kLanes) : Vec{};
    }
    float const* left = p.a + i * p.row_stride;
    float const* right = p.b + x;
    for (std::int64_t k = 0; k < p.depth; ++k, left += p.depth_stride, right += p.stride) {
      Vec columns[Columns];
      LACUNA_UNROLL(4)
      for (int v = 0; v < Columns; ++v) columns[v] = load(right + v * kLanes);
      LACUNA_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        LACUNA_UNROLL(4)
        for (int v = 0; v < Columns; ++v) multiply_add<Pairs>(sums[r][v], left + r * p.row_stride, columns[v]);
      }
    }
    LACUNA_UNROLL(8)
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

/// multiply<true>, where rows and width are rounded up to 16, depth to 16 pairs, and depth_stride is 1.
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
      float const* a = p.a + i * p.row_stride;
      float const* b = p.b + x;
      for (std::int64_t k = 0; k < p.depth; k += 16, a += 16, b += 16 * p.stride) {
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

#undef LACUNA_TILE
#undef LACUNA_LOAD_TILE
#undef LACUNA_STORE_TILE
#undef LACUNA_ZERO_TILE
#undef LACUNA_MULTIPLY_TILES
#endif

/// Whether products of T are taken in bfloat16, two at a time. Otherwise everything is widened to float.
template <class T>
inline constexpr bool kPairs = LACUNA_BF16 != 0 && std::same_as<T, bfloat16>;

/// Zeros where `from` is null.
LACUNA_INLINE void copy_floats(float const* from, std::int64_t count, float* to) {
  if (from == nullptr)
    std::memset(to, 0, static_cast<std::size_t>(count) * sizeof(float));
  else
    std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
}

/// How the queries, keys and values of a storage type meet. Packed queries are a strip, [dim, stride]; keys and values
/// are panels of 64 rows. Buffers are row_floats(dim) * 64 floats each.
template <class T, bool = kPairs<T>>
struct Operands {
  static constexpr std::int64_t key_floats(std::int64_t dim) { return row_floats(dim); }

  /// A null row is zeros.
  static void pack_queries(T const* const* rows, std::int64_t count, std::int64_t dim, float sign, float* strip,
                           std::int64_t stride) {
    for (std::int64_t r = 0; r < round_up(count, 16); r += kLanes)
      for (std::int64_t x = 0; x < dim; x += kLanes) {
        Vec block[kLanes];
        for (int i = 0; i < kLanes; ++i)
          block[i] = r + i < count && rows[r + i] != nullptr ? load_upto(rows[r + i] + x, dim - x) * sign : Vec{};
        transpose(block);
        for (int i = 0; i < kLanes; ++i) store(strip + (x + i) * stride + r, block[i]);
      }
  }

  /// True if all were finite.
  static bool load_rows(T const* const* rows, std::int64_t count, std::int64_t dim, float* panel) {
    Words special{};
    for (std::int64_t j = 0; j < count; ++j, panel += row_floats(dim))
      for (std::int64_t x = 0; x < dim; x += kLanes) {
        Vec const values = load_upto(rows[j] + x, dim - x);
        special |= (reinterpret_cast<Words>(values) & 0x7f800000U) + 0x00800000U;  // the exponent runs over
        store(panel + x, values);
      }
    std::uint32_t lanes[kLanes], any = 0;
    store(lanes, special);
    for (std::uint32_t lane : lanes) any |= lane;
    return (any & 0x80000000U) == 0;
  }

  static void load_keys(T const* const* rows, std::int64_t count, std::int64_t dim, float* panel) {
    (void)load_rows(rows, count, dim, panel);
  }
  static bool load_values(T const* const* rows, std::int64_t count, std::int64_t dim, float* panel) {
    return load_rows(rows, count, dim, panel);
  }
  static float value(float const* panel, std::int64_t dim, std::int64_t key, std::int64_t x) {
    return panel[key * row_floats(dim) + x];
  }
  static void copy_unit(Panel const* panel, std::int64_t unit, std::int64_t dim, float* keys, float* values,
                        std::int64_t to) {
    std::int64_t const floats = kUnitKeys * row_floats(dim);
    copy_floats(panel == nullptr ? nullptr : panel->keys + unit * floats, floats, keys + to * floats);
    copy_floats(panel == nullptr ? nullptr : panel->values + unit * floats, floats, values + to * floats);
  }

  static void multiply_keys(float const* keys, std::int64_t count, std::int64_t dim, float const* queries,
                            float* scores, std::int64_t stride, std::int64_t width, bool add = false) {
    multiply<false>({keys, row_floats(dim), 1, count, dim, queries, scores, stride, add}, width);
  }
  static void add_values(float const* values, std::int64_t count, std::int64_t dim, float const* weights, float* sums,
                         std::int64_t stride, std::int64_t width) {
    multiply<false>({values, 1, row_floats(dim), dim, count, weights, sums, stride, true}, width);
  }
};

#if LACUNA_BF16

/// Panels of bfloat16: queries as pairs of channels [dim / 2, kStrip], keys as rows, values transposed [dim, 64 keys].
template <class T>
struct Operands<T, true> {
  static Vec load_pairs(T const* row, std::int64_t count) {
    T padded[2 * kLanes] = {};
    if (count < 2 * kLanes)
      std::memcpy(padded, row, static_cast<std::size_t>(count) * sizeof(T));
    else
      std::memcpy(padded, row, sizeof padded);
    Vec v;
    std::memcpy(&v, padded, sizeof v);
    return v;
  }

  static constexpr std::int64_t key_floats(std::int64_t dim) { return row_floats(dim) / 2; }

  static void pack_queries(T const* const* rows, std::int64_t count, std::int64_t dim, float sign, float* strip,
                           std::int64_t stride) {
    std::uint32_t const flip = sign < 0.0F ? 0x80008000U : 0U;
    for (std::int64_t r = 0; r < round_up(count, 16); r += kLanes)
      for (std::int64_t x = 0; x < dim; x += 2 * kLanes) {
        Vec block[kLanes];
        for (int i = 0; i < kLanes; ++i)
          block[i] = r + i < count && rows[r + i] != nullptr
                         ? reinterpret_cast<Vec>(reinterpret_cast<Words>(load_pairs(rows[r + i] + x, dim - x)) ^ flip)
                         : Vec{};
        transpose(block);
        for (int i = 0; i < kLanes; ++i) store(strip + (x / 2 + i) * stride + r, block[i]);
      }
  }

  static void load_keys(T const* const* rows, std::int64_t count, std::int64_t dim, float* panel) {
    for (std::int64_t j = 0; j < count; ++j, panel += row_floats(dim) / 2)
      for (std::int64_t x = 0; x < dim; x += 2 * kLanes) store(panel + x / 2, load_pairs(rows[j] + x, dim - x));
  }

  static bool load_values(T const* const* rows, std::int64_t count, std::int64_t dim, float* panel) {
    Words special{};
    for (std::int64_t j = 0; j < count; j += 2 * kLanes)
      for (std::int64_t x = 0; x < dim; x += kLanes) {
        Vec block[kLanes];
        for (int i = 0; i < kLanes; ++i) {
          std::int64_t const key = j + 2 * i;
          Words const even = key < count ? load_bits(rows[key] + x, dim - x) : Words{};
          Words const odd = key + 1 < count ? load_bits(rows[key + 1] + x, dim - x) : Words{};
          Words const pair = even | odd << 16;
          special |= (pair & 0x7f807f80U) + 0x00800080U;  // either exponent runs over
          block[i] = reinterpret_cast<Vec>(pair);
        }
        transpose(block);
        for (int i = 0; i < kLanes; ++i) store(panel + (x + i) * kPanelKeys / 2 + j / 2, block[i]);
      }
    std::uint32_t lanes[kLanes], any = 0;
    store(lanes, special);
    for (std::uint32_t lane : lanes) any |= lane;
    return (any & 0x80008000U) == 0;
  }

  static Words load_bits(T const* p, std::int64_t count) {
    Vec const widened = load_upto(p, count);  // a name of its own: nvcc cannot reinterpret the call
    return reinterpret_cast<Words>(widened) >> 16;
  }

  static void copy_unit(Panel const* panel, std::int64_t unit, std::int64_t dim, float* keys, float* values,
                        std::int64_t to) {
    std::int64_t const floats = kUnitKeys * row_floats(dim) / 2;
    copy_floats(panel == nullptr ? nullptr : panel->keys + unit * floats, floats, keys + to * floats);
    for (std::int64_t x = 0; x < round_up(dim, kLanes); ++x)
      copy_floats(panel == nullptr ? nullptr : panel->values + (x * kPanelKeys + unit * kUnitKeys) / 2, kUnitKeys / 2,
                  values + (x * kPanelKeys + to * kUnitKeys) / 2);
  }

  static float value(float const* panel, std::int64_t, std::int64_t key, std::int64_t x) {
    T stored;
    std::memcpy(&stored, reinterpret_cast<unsigned char const*>(panel) + (x * kPanelKeys + key) * 2, sizeof stored);
    return to_float(stored);
  }

  static void multiply_keys(float const* keys, std::int64_t count, std::int64_t dim, float const* queries,
                            float* scores, std::int64_t stride, std::int64_t width, bool add = false) {
    product({keys, row_floats(dim) / 2, 1, count, round_up(dim, 32) / 2, queries, scores, stride, add}, width);
  }
  static void add_values(float const* values, std::int64_t count, std::int64_t dim, float const* weights, float* sums,
                         std::int64_t stride, std::int64_t width) {
    product({values, kPanelKeys / 2, 1, dim, round_up(count, 32) / 2, weights, sums, stride, true}, width);
  }

 private:
  static void product(Product const& p, std::int64_t width) {
#if LACUNA_BF16 == 2
    multiply_tiles(p, width);
#else
    multiply<true>(p, width);
#endif
  }
};

#endif

#if LACUNA_BF16
using avx512::add_rows;
using avx512::dot_row;
using avx512::dot_tile;
#else

/// out[r][j] = (add ? out[r][j] : 0) + <queries[r], keys[j]>, in float. // [queries, kPanelKeys]
template <Storage T>
inline void dot_tile(DotTile<T> const& tile, bool add, float* out) {
  float* const queries = tile.memory;
  float* const panel = queries + kStrip * row_floats(tile.dim);
  float* const scores = panel + kPanelKeys * row_floats(tile.dim);
  Operands<float>::pack_queries(tile.queries, tile.query_count, tile.dim, 1.0F, queries, kStrip);
  Operands<T, false>::load_keys(tile.keys, tile.key_count, tile.dim, panel);
  Operands<float>::multiply_keys(panel, tile.key_count, tile.dim, queries, scores, kStrip,
                                 round_up(tile.query_count, 16));
  for (std::int64_t r = 0; r < tile.query_count; r += kLanes)
    for (std::int64_t j = 0; j < tile.key_count; j += kLanes) {
      Vec block[kLanes];
      for (int i = 0; i < kLanes; ++i) block[i] = load(scores + (j + i) * kStrip + r);
      transpose(block);
      for (std::int64_t i = 0; i < std::min<std::int64_t>(kLanes, tile.query_count - r); ++i) {
        float* const row = out + (r + i) * kPanelKeys + j;
        Vec const sums = add ? load_upto(row, tile.key_count - j) + block[i] : block[i];
        store_upto(row, sums, tile.key_count - j);
      }
    }
}

/// <query, key>, where the query is zero padded to row_floats(dim).
template <Storage T>
inline float dot_row(float const* query, T const* key, std::int64_t dim) {
  Vec total{};
  for (std::int64_t x = 0; x < dim; x += kLanes) total += load(query + x) * load_upto(key + x, dim - x);
  return sum(total);
}

/// sums[x] += the rows, in their order.
template <Storage T>
inline void add_rows(T const* const* rows, std::int64_t count, std::int64_t dim, float* sums) {
  constexpr int kColumns = 4;
  for (std::int64_t x = 0; x < dim; x += kColumns * kLanes) {
    if (x + kColumns * kLanes <= dim) {
      Vec totals[kColumns];
      LACUNA_UNROLL(4)
      for (int v = 0; v < kColumns; ++v) totals[v] = load(sums + x + v * kLanes);
      for (std::int64_t r = 0; r < count; ++r) {
        LACUNA_UNROLL(4)
        for (int v = 0; v < kColumns; ++v) totals[v] += load(rows[r] + x + v * kLanes);
      }
      LACUNA_UNROLL(4)
      for (int v = 0; v < kColumns; ++v) store(sums + x + v * kLanes, totals[v]);
      continue;
    }
    for (std::int64_t y = x; y < dim; y += kLanes) {
      Vec total = load_upto(sums + y, dim - y);
      for (std::int64_t r = 0; r < count; ++r) total += load_upto(rows[r] + y, dim - y);
      store_upto(sums + y, total, dim - y);
    }
  }
}

#endif

}  // namespace lacuna::cpu::LACUNA_TARGET
