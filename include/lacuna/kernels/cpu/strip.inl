// Included by each_target.inl, once for each instruction set: products of a panel of keys or values with a strip of
// queries. A strip holds 64 query rows side by side, one lane each, so that the softmax needs no sum across lanes, and
// keys and values are read as rows, from wherever they lie. Fewer rows than 64 make a narrower strip.
namespace lacuna::cpu::LACUNA_TARGET {

/// Whether products of T are taken in bfloat16, two at a time. Otherwise everything is widened to float.
template <class T>
inline constexpr bool kPairs = LACUNA_BF16 != 0 && std::same_as<T, bfloat16>;

/// A unit's scores lie below the ones of the unit before it, and what rounding writes too many is overwritten.
template <class Math>
inline void multiply_each_unit(KeyUnits const& units, std::int64_t most, std::int64_t dim, float const* queries,
                               float* scores, std::int64_t stride, std::int64_t width) {
  std::int64_t row = 0;
  for (KeyUnit const* unit = units.units; row < most; row += unit->count, ++unit)
    Math::multiply_keys(unit->keys + unit->first * Math::key_floats(dim), unit->count, dim, queries,
                        scores + row * stride, stride, width);
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
        for (int i = 0; i < kLanes; ++i) {
          if (r + kLanes + i < count) __builtin_prefetch(rows[r + kLanes + i] + x);
          block[i] = r + i < count && rows[r + i] != nullptr ? load_upto(rows[r + i] + x, dim - x) * sign : Vec{};
        }
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
  static bool load_values(T const* const* rows, std::int64_t count, std::int64_t dim, float* panel, bool) {
    return load_rows(rows, count, dim, panel);
  }
  static float value(float const* panel, std::int64_t dim, std::int64_t key, std::int64_t x, bool) {
    return panel[key * row_floats(dim) + x];
  }

  static void multiply_keys(float const* keys, std::int64_t count, std::int64_t dim, float const* queries,
                            float* scores, std::int64_t stride, std::int64_t width, bool add = false) {
    Part const part{keys, queries, dim};
    multiply<false>({&part, 1, row_floats(dim), 1, count, scores, stride, add}, width);
  }
  static void add_values(float const* values, std::int64_t count, std::int64_t dim, float const* weights, float* sums,
                         std::int64_t stride, std::int64_t width) {
    Part const part{values, weights, count};
    multiply<false>({&part, 1, 1, row_floats(dim), dim, sums, stride, true}, width);
  }

  /// The same of units, those that begin below `most`.
  static constexpr std::int64_t kGrain = 1;
  static constexpr Weights kUnitWeights = Weights::singles;
  static void multiply_units(KeyUnits const& units, std::int64_t most, std::int64_t dim, float const* queries,
                             float* scores, std::int64_t stride, std::int64_t width) {
    multiply_each_unit<Operands>(units, most, dim, queries, scores, stride, width);
  }
  static void add_unit_values(KeyUnits const& units, std::int64_t most, std::int64_t dim, float const* weights,
                              float* sums, std::int64_t stride, std::int64_t width) {
    Part parts[KeyUnits::kMost];
    std::int64_t row = 0, count = 0;
    for (KeyUnit const* unit = units.units; row < most; row += unit->count, ++unit)
      parts[count++] = {unit->values + unit->first * row_floats(dim), weights + row * stride,
                        std::min(unit->count, most - row)};
    multiply<false>({parts, count, 1, row_floats(dim), dim, sums, stride, true}, width);
  }
};

#if LACUNA_BF16 == 2

/// The same panels, multiplied in tiles.
template <class T>
struct Operands<T, true> : avx512_bf16::Operands<T, true> {
  using avx512_bf16::Operands<T, true>::unit_floats;
  static constexpr std::int64_t kGrain = kUnitKeys;
  static constexpr Weights kUnitWeights = Weights::unit_pairs;

  static void multiply_keys(float const* keys, std::int64_t count, std::int64_t dim, float const* queries,
                            float* scores, std::int64_t stride, std::int64_t width, bool add = false) {
    Part const part{keys, queries, round_up(dim, 32) / 2};
    multiply_tiles({&part, 1, row_floats(dim) / 2, 1, count, scores, stride, add}, width);
  }
  static void add_values(float const* values, std::int64_t count, std::int64_t dim, float const* weights, float* sums,
                         std::int64_t stride, std::int64_t width) {
    Part const part{values, weights, round_up(count, 32) / 2};
    multiply_tiles({&part, 1, kPanelKeys / 2, 1, dim, sums, stride, true}, width);
  }

  static void multiply_units(KeyUnits const& units, std::int64_t most, std::int64_t dim, float const* queries,
                             float* scores, std::int64_t stride, std::int64_t width) {
    std::int64_t const count = round_up(most, kUnitKeys) / kUnitKeys;
    for (std::int64_t u = 0; u < count; u += 4) {
      FourParts part;
      float* c[4];
      for (std::int64_t t = 0; t < 4; ++t) {
        KeyUnit const& unit = units.units[std::min(u + t, count - 1)];
        part.a[t] = unit.keys + unit.first * row_floats(dim) / 2;
      }
      for (std::int64_t x = 0; x < width; x += 16) {
        part.b = queries + x;
        for (std::int64_t t = 0; t < 4; ++t) c[t] = scores + (u + t) * kUnitKeys * stride + x;
        multiply_four_tiles(&part, 1, row_floats(dim) / 2, round_up(dim, 32) / 2, c,
                            std::min<std::int64_t>(count - u, 4), stride, false);
      }
    }
  }

  static void add_unit_values(KeyUnits const& units, std::int64_t most, std::int64_t dim, float const* weights,
                              float* sums, std::int64_t stride, std::int64_t width) {
    std::int64_t const count = round_up(most, kUnitKeys) / kUnitKeys;
    if (units.narrow) {
      Part parts[KeyUnits::kMost];
      for (std::int64_t first = 0; first < dim; first += 64)
        for (std::int64_t x = 0; x < width; x += 16) {
          for (std::int64_t u = 0; u < count; ++u)
            parts[u] = {
                units.units[u].values + units.units[u].first / kUnitKeys * unit_floats(dim) + first * kUnitKeys / 2,
                weights + u * kUnitKeys * stride + x, 0};
          add_two_row_tiles(parts, count, sums + first * stride + x, stride, first + 32 < dim);
        }
      return;
    }
    FourParts parts[KeyUnits::kMost];
    float* c[4];
    for (std::int64_t first = 0; first < dim; first += 64)
      for (std::int64_t x = 0; x < width; x += 16) {
        std::int64_t const tiles = std::min<std::int64_t>((dim - first + 15) / 16, 4);
        for (std::int64_t t = 0; t < 4; ++t) c[t] = sums + (first + 16 * t) * stride + x;
        for (std::int64_t u = 0; u < count; ++u) {
          KeyUnit const& unit = units.units[u];
          float const* const half = unit.values + unit.first / 32 * 16;
          for (std::int64_t t = 0; t < 4; ++t)
            parts[u].a[t] = half + (first + 16 * std::min(t, tiles - 1)) * kPanelKeys / 2;
          parts[u].b = weights + (u * kUnitKeys - unit.first % 32 / 2) * stride + x;
        }
        multiply_four_tiles(parts, count, kPanelKeys / 2, 16, c, tiles, stride, true);
      }
  }
};

#elif LACUNA_BF16

/// Panels of bfloat16: queries as pairs of channels [dim / 2, kStrip], keys as rows, values transposed: [dim, 64 keys],
/// or if narrow [4 units, dim, 16 keys].
template <class T>
struct Operands<T, true> {
  static Vec load_pairs(T const* row, std::int64_t count) {
    Vec pairs;
    if (count >= 2 * kLanes) {
      std::memcpy(&pairs, row, sizeof pairs);
      return pairs;
    }
    T padded[2 * kLanes] = {};
    std::memcpy(padded, row, static_cast<std::size_t>(count) * sizeof(T));
    std::memcpy(&pairs, padded, sizeof pairs);
    return pairs;
  }

  static constexpr std::int64_t key_floats(std::int64_t dim) { return row_floats(dim) / 2; }

  static void pack_queries(T const* const* rows, std::int64_t count, std::int64_t dim, float sign, float* strip,
                           std::int64_t stride) {
    std::uint32_t const flip = sign < 0.0F ? 0x80008000U : 0U;
    for (std::int64_t r = 0; r < round_up(count, 16); r += kLanes)
      for (std::int64_t x = 0; x < dim; x += 2 * kLanes) {
        Vec block[kLanes];
        for (int i = 0; i < kLanes; ++i) {
          if (r + kLanes + i < count) __builtin_prefetch(rows[r + kLanes + i] + x);
          block[i] = r + i < count && rows[r + i] != nullptr
                         ? reinterpret_cast<Vec>(reinterpret_cast<Words>(load_pairs(rows[r + i] + x, dim - x)) ^ flip)
                         : Vec{};
        }
        transpose(block);
        for (int i = 0; i < kLanes; ++i) store(strip + (x / 2 + i) * stride + r, block[i]);
      }
  }

  static void load_keys(T const* const* rows, std::int64_t count, std::int64_t dim, float* panel) {
    for (std::int64_t j = 0; j < count; ++j, panel += row_floats(dim) / 2)
      for (std::int64_t x = 0; x < dim; x += 2 * kLanes) store(panel + x / 2, load_pairs(rows[j] + x, dim - x));
  }

  /// Behind the last of them, zeros up to a unit.
  static bool load_values(T const* const* rows, std::int64_t count, std::int64_t dim, float* panel, bool narrow) {
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
        for (int i = 0; i < kLanes; ++i) {
          if (!narrow) {
            store(panel + (x + i) * kPanelKeys / 2 + j / 2, block[i]);
            continue;
          }
          float* const unit = panel + j / kUnitKeys * unit_floats(dim) + (x + i) * kUnitKeys / 2;
          std::memcpy(unit, &block[i], sizeof(Vec) / 2);
          std::memcpy(unit + unit_floats(dim), reinterpret_cast<float const*>(&block[i]) + kUnitKeys / 2,
                      sizeof(Vec) / 2);
        }
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

  /// Of 16 keys, or of their values if narrow.
  static constexpr std::int64_t unit_floats(std::int64_t dim) { return kUnitKeys * row_floats(dim) / 2; }

  static float value(float const* panel, std::int64_t dim, std::int64_t key, std::int64_t x, bool narrow) {
    float const* const row =
        narrow ? panel + key / kUnitKeys * unit_floats(dim) + x * kUnitKeys / 2 : panel + x * kPanelKeys / 2;
    std::int64_t const at = narrow ? key % kUnitKeys : key;
    T stored;
    std::memcpy(&stored, reinterpret_cast<unsigned char const*>(row) + at * 2, sizeof stored);
    return to_float(stored);
  }

  static void multiply_keys(float const* keys, std::int64_t count, std::int64_t dim, float const* queries,
                            float* scores, std::int64_t stride, std::int64_t width, bool add = false) {
    Part const part{keys, queries, round_up(dim, 32) / 2};
    multiply<true>({&part, 1, row_floats(dim) / 2, 1, count, scores, stride, add}, width);
  }
  static void add_values(float const* values, std::int64_t count, std::int64_t dim, float const* weights, float* sums,
                         std::int64_t stride, std::int64_t width) {
    Part const part{values, weights, round_up(count, 32) / 2};
    multiply<true>({&part, 1, kPanelKeys / 2, 1, dim, sums, stride, true}, width);
  }

  static constexpr std::int64_t kGrain = 2;
  static constexpr Weights kUnitWeights = Weights::pairs;
  static void multiply_units(KeyUnits const& units, std::int64_t most, std::int64_t dim, float const* queries,
                             float* scores, std::int64_t stride, std::int64_t width) {
    multiply_each_unit<Operands>(units, most, dim, queries, scores, stride, width);
  }

  static void add_unit_values(KeyUnits const& units, std::int64_t most, std::int64_t dim, float const* weights,
                              float* sums, std::int64_t stride, std::int64_t width) {
    Part parts[KeyUnits::kMost];
    std::int64_t row = 0, count = 0;
    for (KeyUnit const* unit = units.units; row < most; row += unit->count, ++unit)
      parts[count++] = {
          unit->values + (units.narrow ? unit->first / kUnitKeys * unit_floats(dim) + unit->first % kUnitKeys / 2
                                       : unit->first / 2),
          weights + row / 2 * stride, std::min(unit->count, round_up(most - row, 2)) / 2};
    multiply<true>({parts, count, units.narrow ? kUnitKeys / 2 : kPanelKeys / 2, 1, dim, sums, stride, true}, width);
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
