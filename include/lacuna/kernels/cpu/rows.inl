// Included by each_target.inl, once for each instruction set: few query rows, as in decoding. A lane per key or two
// lanes per channel, then a lane per channel; nothing is packed.
namespace lacuna::cpu::LACUNA_TARGET {

#if LACUNA_BF16
using avx512::attend_rows;
using avx512::finish_rows;
using avx512::pack_rows;
#else

/// Rows of bfloat16 are read two vectors at once and split, which is cheaper than widening: first the even channels,
/// then the odd ones, and so are the queries and the sums.
template <class T>
inline constexpr bool kSplit = std::same_as<T, bfloat16>;

/// The first `count` values, at most two vectors of them, and zeros.
LACUNA_INLINE Words load_two(bfloat16 const* p, std::int64_t count) {
  if (count >= 2 * kLanes) {
    Words pairs;
    std::memcpy(&pairs, p, sizeof pairs);
    return pairs;
  }
  bfloat16 padded[2 * kLanes] = {};
  std::memcpy(padded, p, static_cast<std::size_t>(count) * sizeof(bfloat16));
  Words pairs;
  std::memcpy(&pairs, padded, sizeof pairs);
  return pairs;
}
/// Into the second level of the cache.
template <Storage T>
LACUNA_INLINE void fetch(T const* p, std::int64_t count) {
  for (std::int64_t x = 0; x < count; x += 64 / static_cast<std::int64_t>(sizeof(T))) __builtin_prefetch(p + x, 0, 2);
}

/// Of key j. Everything is asked for twice, in either product: a processor that waits for enough already forgets it.
template <Storage T>
LACUNA_INLINE void fetch_both(KeyRows<T> const& next, std::int64_t j, std::int64_t x, std::int64_t count) {
  if (j >= next.count) return;
  fetch(next.keys[j] + x, count);
  fetch(next.values[j] + x, count);
}

LACUNA_INLINE Vec even_of(Words const& pairs) { return reinterpret_cast<Vec>(pairs << 16); }
LACUNA_INLINE Vec odd_of(Words const& pairs) { return reinterpret_cast<Vec>(pairs & 0xffff0000U); }

template <Storage T>
inline void pack_rows(FlashState const& s, T const* const* queries) {
  for (std::int64_t r = 0; r < s.rows; ++r) {
    float* const row = s.q + r * row_floats(s.dim);
    if constexpr (kSplit<T>) {
      for (std::int64_t x = 0; x < s.dim; x += 2 * kLanes) {
        Words const pairs = load_two(queries[r] + x, s.dim - x);
        store(row + x, even_of(pairs) * s.sign);
        store(row + x + kLanes, odd_of(pairs) * s.sign);
      }
    } else {
      for (std::int64_t x = 0; x < s.dim; x += kLanes) store(row + x, load_upto(queries[r] + x, s.dim - x) * s.sign);
    }
  }
}

/// scores[i][j] of Rows rows and kLanes / Rows keys.
template <int Rows, Storage T>
LACUNA_INLINE void dot_keys(FlashState const& s, std::int64_t r, KeyRows<T> const& rows, std::int64_t j,
                            KeyRows<T> const& next) {
  constexpr int kKeys = kLanes / Rows;
  T const* keys[kKeys];
  for (int k = 0; k < kKeys; ++k) {
    keys[k] = rows.keys[std::min(j + k, rows.count - 1)];
    if (r == 0 && j + k < next.count) fetch(next.keys[j + k], s.dim);
    if (r == 0 && j + k < rows.count) fetch(rows.values[j + k], s.dim);
  }
  Vec sums[kLanes] = {};
  for (std::int64_t x = 0; x < s.dim; x += kSplit<T> ? 2 * kLanes : kLanes) {
    float const* const queries = s.q + r * row_floats(s.dim) + x;
    LACUNA_UNROLL(16)
    for (int k = 0; k < kKeys; ++k) {
      if constexpr (kSplit<T>) {
        Words const pairs = load_two(keys[k] + x, s.dim - x);
        Vec const even = even_of(pairs), odd = odd_of(pairs);
        LACUNA_UNROLL(4)
        for (int i = 0; i < Rows; ++i) {
          sums[i * kKeys + k] += load(queries + i * row_floats(s.dim)) * even;
          sums[i * kKeys + k] += load(queries + i * row_floats(s.dim) + kLanes) * odd;
        }
      } else {
        Vec const key = load_upto(keys[k] + x, s.dim - x);
        LACUNA_UNROLL(4)
        for (int i = 0; i < Rows; ++i) sums[i * kKeys + k] += load(queries + i * row_floats(s.dim)) * key;
      }
    }
  }
  float scores[kLanes];
  store(scores, sum_each(sums));
  for (int i = 0; i < Rows; ++i)
    std::memcpy(s.scores + (r + i) * kPanelKeys + j, scores + i * kKeys, kKeys * sizeof(float));
}

/// Of all rows and keys; meanwhile those that come next are fetched.
template <Storage T>
inline void dot_rows(FlashState const& s, KeyRows<T> const& rows, KeyRows<T> const& next) {
  std::int64_t r = 0;
  for (; r + 4 <= s.rows; r += 4)
    for (std::int64_t j = 0; j < rows.count; j += kLanes / 4) dot_keys<4>(s, r, rows, j, next);
  for (; r < s.rows; ++r)
    for (std::int64_t j = 0; j < rows.count; j += kLanes) dot_keys<1>(s, r, rows, j, next);
}

/// sums of rows [r, r + Rows) += weight * value over the keys [first, count), for Twos times two vectors of channels.
template <int Rows, int Twos>
inline void add_split_values(FlashState const& s, std::int64_t r, std::int64_t x, bfloat16 const* const* values,
                             std::int64_t first, std::int64_t count, KeyRows<bfloat16> const& next) {
  float const* const weights = s.scores + r * kPanelKeys;
  float* const sums = s.sums + r * row_floats(s.dim) + x;
  Vec totals[Rows][2 * Twos];
  LACUNA_UNROLL(4)
  for (int i = 0; i < Rows; ++i) {
    LACUNA_UNROLL(4)
    for (int v = 0; v < 2 * Twos; ++v) totals[i][v] = load(sums + i * row_floats(s.dim) + v * kLanes);
  }
  for (std::int64_t j = first; j < count; ++j) {
    Vec columns[2 * Twos];
    if (r == 0) fetch_both(next, j, x, std::min<std::int64_t>(2 * Twos * kLanes, s.dim - x));
    LACUNA_UNROLL(2)
    for (int v = 0; v < Twos; ++v) {
      Words const pairs = load_two(values[j] + x + v * 2 * kLanes, s.dim - x - v * 2 * kLanes);
      columns[2 * v] = even_of(pairs);
      columns[2 * v + 1] = odd_of(pairs);
    }
    LACUNA_UNROLL(4)
    for (int i = 0; i < Rows; ++i) {
      Vec const weight = splat(weights[i * kPanelKeys + j]);
      LACUNA_UNROLL(4)
      for (int v = 0; v < 2 * Twos; ++v) totals[i][v] += weight * columns[v];
    }
  }
  LACUNA_UNROLL(4)
  for (int i = 0; i < Rows; ++i) {
    LACUNA_UNROLL(4)
    for (int v = 0; v < 2 * Twos; ++v) store(sums + i * row_floats(s.dim) + v * kLanes, totals[i][v]);
  }
}

/// Of the keys [hidden, seen).
inline void soften_row(FlashState const& s, std::int64_t r, std::int64_t hidden, std::int64_t seen) {
  float* const scores = s.scores + r * kPanelKeys;
  for (std::int64_t j = 0; j < hidden; ++j) scores[j] = -kInfinity;
  for (std::int64_t j = seen; j < round_up(seen, kLanes); ++j) scores[j] = -kInfinity;
  Vec highest = splat(-kInfinity);
  for (std::int64_t j = 0; j < seen; j += kLanes) highest = max(load(scores + j), highest);
  float const top = std::max(s.max[r], largest(highest));
  float const base = top == -kInfinity ? 0.0F : top;
  if (top != s.max[r]) {
    Vec const shrink = exp2(splat((s.max[r] - base) * s.scale_log2));
    s.max[r] = top;
    s.mass[r] *= shrink[0];
    float* const sums = s.sums + r * row_floats(s.dim);
    for (std::int64_t x = 0; x < row_floats(s.dim); x += kLanes) store(sums + x, load(sums + x) * shrink);
  }
  Vec mass{};
  for (std::int64_t j = 0; j < seen; j += kLanes) {
    Vec const weight = exp2((load(scores + j) - base) * s.scale_log2);
    store(scores + j, weight);
    mass += weight;
  }
  s.mass[r] += sum(mass);
}

/// What add_values leaves: the channels from x on, one vector at a time.
template <Storage T>
LACUNA_APART void add_last_values(FlashState const& s, std::int64_t r, std::int64_t rows, T const* const* values,
                                  std::int64_t first, std::int64_t count, std::int64_t x) {
  float const* const weights = s.scores + r * kPanelKeys;
  for (; x < s.dim; x += kLanes)
    for (std::int64_t i = 0; i < rows; ++i) {
      float* const place = s.sums + (r + i) * row_floats(s.dim) + x;
      Vec total = load(place);
      for (std::int64_t j = first; j < count; ++j)
        total += splat(weights[i * kPanelKeys + j]) * load_upto(values[j] + x, s.dim - x);
      store(place, total);
    }
}

/// sums of rows [r, r + Rows) += weight * value over the keys [first, count).
template <int Rows, Storage T>
inline void add_values(FlashState const& s, std::int64_t r, T const* const* values, std::int64_t first,
                       std::int64_t count, KeyRows<T> const& next) {
  if constexpr (kSplit<T>) {
    for (std::int64_t x = 0; x < s.dim; x += 4 * kLanes)
      s.dim - x > 2 * kLanes ? add_split_values<Rows, 2>(s, r, x, values, first, count, next)
                             : add_split_values<Rows, 1>(s, r, x, values, first, count, next);
    return;
  }
  constexpr int kColumns = 4;
  float const* const weights = s.scores + r * kPanelKeys;
  float* const sums = s.sums + r * row_floats(s.dim);
  std::int64_t x = 0;
  for (; x + kColumns * kLanes <= s.dim; x += kColumns * kLanes) {
    Vec totals[Rows][kColumns];
    LACUNA_UNROLL(4)
    for (int i = 0; i < Rows; ++i) {
      LACUNA_UNROLL(4)
      for (int v = 0; v < kColumns; ++v) totals[i][v] = load(sums + i * row_floats(s.dim) + x + v * kLanes);
    }
    for (std::int64_t j = first; j < count; ++j) {
      Vec right[kColumns];
      if (r == 0) fetch_both(next, j, x, kColumns * kLanes);
      LACUNA_UNROLL(4)
      for (int v = 0; v < kColumns; ++v) right[v] = load(values[j] + x + v * kLanes);
      LACUNA_UNROLL(4)
      for (int i = 0; i < Rows; ++i) {
        Vec const left = splat(weights[i * kPanelKeys + j]);
        LACUNA_UNROLL(4)
        for (int v = 0; v < kColumns; ++v) totals[i][v] += left * right[v];
      }
    }
    LACUNA_UNROLL(4)
    for (int i = 0; i < Rows; ++i) {
      LACUNA_UNROLL(4)
      for (int v = 0; v < kColumns; ++v) store(sums + i * row_floats(s.dim) + x + v * kLanes, totals[i][v]);
    }
  }
  if (x < s.dim) add_last_values(s, r, Rows, values, first, count, x);
}

template <Storage T>
inline void attend_rows(FlashState const& s, KeyRows<T> const& rows, KeyRows<T> const& next, std::int32_t const* seen) {
  std::int64_t const count = rows.count;
  T const* const* const values = rows.values;
  dot_rows(s, rows, next);
  if (s.squash != 0.0F) squash_scores(s, s.scores, s.rows, count);
  for (std::int64_t r = 0; r < s.rows;) {
    std::int64_t const least = s.hidden == nullptr ? 0 : s.hidden[r];
    std::int64_t const most = seen == nullptr ? count : seen[r];
    bool const four = s.rows - r >= 4 && (seen == nullptr || seen[r + 3] == most) &&
                      (s.hidden == nullptr || s.hidden[r + 3] == least);
    std::int64_t const end = r + (four ? 4 : 1);
    if (most > least) {
      for (std::int64_t i = r; i < end; ++i) soften_row(s, i, least, most);
      four ? add_values<4>(s, r, values, least, most, next) : add_values<1>(s, r, values, least, most, next);
    }
    r = end;
  }
}

/// Split sums become rows again.
template <Storage T>
inline void finish_rows(FlashState const& s) {
  if constexpr (kSplit<T>)
    for (std::int64_t r = 0; r < s.rows; ++r)
      for (std::int64_t x = 0; x < s.dim; x += 2 * kLanes) {
        float* const place = s.sums + r * row_floats(s.dim) + x;
        float split[2 * kLanes];
        std::memcpy(split, place, sizeof split);
        for (int i = 0; i < kLanes; ++i) {
          place[2 * i] = split[i];
          place[2 * i + 1] = split[kLanes + i];
        }
      }
}

#endif

}  // namespace lacuna::cpu::LACUNA_TARGET
