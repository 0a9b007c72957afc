// Included by each_target.inl, once for each instruction set: how a panel of keys joins a block of query rows.
namespace lacuna::cpu::LACUNA_TARGET {

// ---- Many rows: strips of 64, a lane each.

template <Storage T>
inline void pack_strips(FlashState const& s, T const* const* queries) {
  for (std::int64_t r = 0; r < s.rows; r += kStrip)
    Operands<T>::pack_queries(queries + r, std::min(kStrip, s.rows - r), s.dim, s.sign, s.q + r * row_floats(s.dim),
                              s.stride);
#if LACUNA_BF16 == 2
  if constexpr (kPairs<T>) configure_tiles();
#endif
}

#if LACUNA_BF16 == 2
using avx512_bf16::add_seen_values;
using avx512_bf16::finish_strips;
using avx512_bf16::soften;
using avx512_bf16::squash_scores;
using avx512_bf16::Strip;
#else

/// A strip's rows, and how many of the panel's keys its first and its last row see.
struct Strip {
  std::int64_t width, least, most;
  std::int32_t const* seen;  // per row; null where all see all
  float *q, *sums, *mass, *max;
  std::int32_t const* hidden;  // per row; null where none are too old
  std::int64_t most_hidden;
};

/// For the first `rows` rows of scores.
inline void squash_scores(FlashState const& s, std::int64_t rows, std::int64_t width) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t x = 0; x < width; x += kLanes) {
      float* const score = s.scores + i * s.stride + x;
      store(score, tanh(load(score) * s.squash));
    }
}

inline bool any_lane(Ints const& mask) {
  std::int32_t lanes[kLanes], any = 0;
  std::memcpy(lanes, &mask, sizeof mask);
  for (std::int32_t lane : lanes) any |= lane;
  return any != 0;
}

/// The strip's scores become weights relative to each row's running maximum, and so does what was summed before. Pairs
/// of keys are packed into one float's place, rounded to bfloat16, and filled up with zeros to 32 keys.
template <bool Pairs>
inline void soften(FlashState const& s, Strip const& strip) {
  constexpr int kStep = 4;  // independent chains of maxima
  std::int64_t const end = round_up(strip.most, Pairs ? 32 : kStep);
  Vec const lowest = splat(-kInfinity);
  for (std::int64_t x = 0; x < strip.width; x += kLanes) {
    float* const scores = s.scores + x;
    if (strip.seen != nullptr) {
      Ints const seen = load(strip.seen + x);
      for (std::int64_t j = strip.least; j < strip.most; ++j)
        store(scores + j * s.stride, static_cast<std::int32_t>(j) < seen ? load(scores + j * s.stride) : lowest);
    }
    for (std::int64_t j = strip.most; j < end; ++j) store(scores + j * s.stride, lowest);
    if (strip.hidden != nullptr) {
      Ints const hidden = load(strip.hidden + x);
      for (std::int64_t j = 0; j < strip.most_hidden; ++j)
        store(scores + j * s.stride, static_cast<std::int32_t>(j) < hidden ? lowest : load(scores + j * s.stride));
    }

    Vec const before = load(strip.max + x);
    Vec tops[kStep] = {before, before, before, before};
    for (std::int64_t j = 0; j < end; j += kStep) {
      LACUNA_UNROLL(4)
      for (int i = 0; i < kStep; ++i) tops[i] = max(load(scores + (j + i) * s.stride), tops[i]);
    }
    Vec const top = max(max(tops[0], tops[1]), max(tops[2], tops[3]));
    Vec const base = (top == lowest ? Vec{} : top) * s.scale_log2;  // -inf - -inf would be NaN
    Vec mass = load(strip.mass + x);
    if (any_lane(top != before)) {
      Vec const shrink = exp2(before * s.scale_log2 - base);
      store(strip.max + x, top);
      mass = mass * shrink;
      for (std::int64_t d = 0; d < s.dim; ++d)
        store(strip.sums + d * s.stride + x, load(strip.sums + d * s.stride + x) * shrink);
    }
    Vec more[2] = {};
    for (std::int64_t j = 0; j < end; j += kStep) {
      Vec weights[kStep];
      LACUNA_UNROLL(4)
      for (int i = 0; i < kStep; ++i) weights[i] = exp2(load(scores + (j + i) * s.stride) * s.scale_log2 - base);
      more[0] += weights[0] + weights[1];
      more[1] += weights[2] + weights[3];
      if constexpr (Pairs) {
        LACUNA_UNROLL(2)
        for (int i = 0; i < kStep; i += 2) {
          Words const even = reinterpret_cast<Words>(weights[i]) + 0x8000U;
          Words const odd = reinterpret_cast<Words>(weights[i + 1]) + 0x8000U;
          store(scores + (j + i) / 2 * s.stride, reinterpret_cast<Vec>(even >> 16 | (odd & 0xffff0000U)));
        }
      } else {
        LACUNA_UNROLL(4)
        for (int i = 0; i < kStep; ++i) store(scores + (j + i) * s.stride, weights[i]);
      }
    }
    store(strip.mass + x, mass + (more[0] + more[1]));
  }
}

/// Row by row, only what a row sees: a weight of 0 would let the NaN of a value through that it does not.
template <Storage T>
inline void add_seen_values(FlashState const& s, Strip const& strip, float const* values) {
  for (std::int64_t r = 0; r < strip.width; ++r) {
    std::int64_t const end = strip.seen == nullptr ? strip.most : strip.seen[r];
    for (std::int64_t j = strip.hidden == nullptr ? 0 : strip.hidden[r]; j < end; ++j) {
      float weight = s.scores[j * s.stride + r];
      if constexpr (kPairs<T>) {
        std::uint32_t pair;
        std::memcpy(&pair, s.scores + j / 2 * s.stride + r, sizeof pair);
        weight = to_float(bfloat16{static_cast<std::uint16_t>(j % 2 == 0 ? pair : pair >> 16)});
      }
      for (std::int64_t x = 0; x < s.dim; ++x)
        strip.sums[x * s.stride + r] += weight * Operands<T>::value(values, s.dim, j, x);
    }
  }
}

template <Storage T>
inline bool pack_panel(T const* const* keys, T const* const* values, std::int64_t count, std::int64_t dim,
                       float* panel_keys, float* panel_values) {
  Operands<T>::load_keys(keys, count, dim, panel_keys);
  return Operands<T>::load_values(values, count, dim, panel_values);
}

template <Storage T>
inline void copy_unit(Panel const* panel, std::int64_t unit, std::int64_t dim, float* keys, float* values,
                      std::int64_t to) {
  Operands<T>::copy_unit(panel, unit, dim, keys, values, to);
}

/// The sums as rows, in place of the queries.
inline void finish_strips(FlashState const& s) {
  for (std::int64_t r = 0; r < s.rows; r += kLanes)
    for (std::int64_t x = 0; x < s.dim; x += kLanes) {
      float const* const sums = s.sums + r / kStrip * kStrip * row_floats(s.dim) + x * s.stride + r % kStrip;
      Vec block[kLanes];
      for (int i = 0; i < kLanes; ++i) block[i] = load(sums + i * s.stride);
      transpose(block);
      for (int i = 0; i < kLanes; ++i) store(s.q + (r + i) * row_floats(s.dim) + x, block[i]);
    }
}

#endif

template <Storage T>
inline void attend_panel(FlashState const& s, Panel const& panel, std::int32_t const* seen) {
  using Math = Operands<T>;
  std::int64_t const count = panel.count;
  for (std::int64_t r = 0; r < s.rows; r += kStrip) {
    std::int64_t const rows = std::min(kStrip, s.rows - r);
    Strip const strip{round_up(rows, 16),
                      seen == nullptr ? count : seen[r],
                      seen == nullptr ? count : seen[r + rows - 1],
                      seen == nullptr ? nullptr : seen + r,
                      s.q + r * row_floats(s.dim),
                      s.sums + r * row_floats(s.dim),
                      s.mass + r,
                      s.max + r,
                      s.hidden == nullptr ? nullptr : s.hidden + r,
                      s.hidden == nullptr ? 0 : s.hidden[r + rows - 1]};
    if (strip.most == 0 || (strip.hidden != nullptr && strip.hidden[0] >= strip.most)) continue;
    Math::multiply_keys(panel.keys, strip.most, s.dim, strip.q, s.scores, s.stride, strip.width);
    if (s.squash != 0.0F) squash_scores(s, strip.most, strip.width);
    soften<kPairs<T>>(s, strip);
    if (panel.finite || (strip.least == count && strip.most_hidden == 0))
      Math::add_values(panel.values, strip.most, s.dim, s.scores, strip.sums, s.stride, strip.width);
    else
      add_seen_values<T>(s, strip, panel.values);
  }
}

#if !LACUNA_BF16

// ---- Few rows, as in decoding: a lane per key, then a lane per channel; nothing is packed.

template <Storage T>
inline void pack_rows(FlashState const& s, T const* const* queries) {
  for (std::int64_t r = 0; r < s.rows; ++r)
    for (std::int64_t x = 0; x < s.dim; x += kLanes)
      store(s.q + r * row_floats(s.dim) + x, load_upto(queries[r] + x, s.dim - x) * s.sign);
}

/// scores[r][j] for the keys j..j + kLanes of all rows.
LACUNA_INLINE void dot_keys(FlashState const& s, float const* const (&keys)[kLanes], float* scores) {
  std::int64_t const whole = s.dim / kLanes * kLanes;
  for (std::int64_t r = 0; r < s.rows; ++r) {
    float const* const query = s.q + r * row_floats(s.dim);
    Vec sums[kLanes] = {};
    for (std::int64_t x = 0; x < whole; x += kLanes) {
      Vec const left = load(query + x);
      LACUNA_UNROLL(16)
      for (int i = 0; i < kLanes; ++i) sums[i] += left * load(keys[i] + x);
    }
    if (whole < s.dim) {
      Vec const left = load(query + whole);
      for (int i = 0; i < kLanes; ++i) sums[i] += left * load_first(keys[i] + whole, s.dim - whole);
    }
    store(scores + r * kPanelKeys, sum_each(sums));
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
  float const base = top == -kInfinity ? 0.0F : top * s.scale_log2;
  if (top != s.max[r]) {
    Vec const shrink = exp2(splat(s.max[r] * s.scale_log2 - base));
    s.max[r] = top;
    s.mass[r] *= shrink[0];
    float* const sums = s.sums + r * row_floats(s.dim);
    for (std::int64_t x = 0; x < s.dim; x += kLanes) store(sums + x, load(sums + x) * shrink);
  }
  Vec mass{};
  for (std::int64_t j = 0; j < seen; j += kLanes) {
    Vec const weight = exp2(load(scores + j) * s.scale_log2 - base);
    store(scores + j, weight);
    mass += weight;
  }
  s.mass[r] += sum(mass);
}

/// sums of rows [r, r + Rows) += weight * value over the keys [first, count).
template <int Rows, Storage T>
inline void add_values(FlashState const& s, std::int64_t r, T const* const* values, std::int64_t first,
                       std::int64_t count) {
  constexpr int kColumns = 4;
  float const* const weights = s.scores + r * kPanelKeys;
  float* const sums = s.sums + r * row_floats(s.dim);
  for (std::int64_t x = 0; x < s.dim; x += kColumns * kLanes) {
    bool const whole = x + kColumns * kLanes <= s.dim;
    int const columns = whole ? kColumns : static_cast<int>((s.dim - x + kLanes - 1) / kLanes);
    if (whole) {
      Vec totals[Rows][kColumns];
      LACUNA_UNROLL(4)
      for (int i = 0; i < Rows; ++i) {
        LACUNA_UNROLL(4)
        for (int v = 0; v < kColumns; ++v) totals[i][v] = load(sums + i * row_floats(s.dim) + x + v * kLanes);
      }
      for (std::int64_t j = first; j < count; ++j) {
        Vec right[kColumns];
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
      continue;
    }
    for (int v = 0; v < columns; ++v)
      for (int i = 0; i < Rows; ++i) {
        float* const place = sums + i * row_floats(s.dim) + x + v * kLanes;
        Vec total = load(place);
        for (std::int64_t j = first; j < count; ++j)
          total += splat(weights[i * kPanelKeys + j]) * load_upto(values[j] + x + v * kLanes, s.dim - x - v * kLanes);
        store(place, total);
      }
  }
}

template <Storage T>
inline void attend_rows(FlashState const& s, KeyRows<T> const& rows, KeyRows<T> const& next, std::int32_t const* seen) {
  std::int64_t const line = 64 / static_cast<std::int64_t>(sizeof(T)), count = rows.count;
  T const* const* const values = rows.values;
  for (std::int64_t j = 0; j < count; j += kLanes) {
    float const* floats[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      std::int64_t const key = std::min(j + i, count - 1);
      if (j + i < next.count)
        for (std::int64_t x = 0; x < s.dim; x += line) {
          __builtin_prefetch(next.keys[j + i] + x, 0, 2);
          __builtin_prefetch(next.values[j + i] + x, 0, 2);
        }
      if constexpr (std::same_as<T, float>) {
        floats[i] = rows.keys[key];
      } else {  // widened once for all rows
        float* const wide = s.keys + i * row_floats(s.dim);
        for (std::int64_t x = 0; x < s.dim; x += kLanes) store(wide + x, load_upto(rows.keys[key] + x, s.dim - x));
        floats[i] = wide;
      }
    }
    dot_keys(s, floats, s.scores + j);
  }
  if (s.squash != 0.0F) squash_scores(s, s.rows, count);
  for (std::int64_t r = 0; r < s.rows;) {
    std::int64_t const least = s.hidden == nullptr ? 0 : s.hidden[r];
    std::int64_t const most = seen == nullptr ? count : seen[r];
    bool const four = s.rows - r >= 4 && (seen == nullptr || seen[r + 3] == most) &&
                      (s.hidden == nullptr || s.hidden[r + 3] == least);
    std::int64_t const next = r + (four ? 4 : 1);
    if (most > least) {
      for (std::int64_t i = r; i < next; ++i) soften_row(s, i, least, most);
      four ? add_values<4>(s, r, values, least, most) : add_values<1>(s, r, values, least, most);
    }
    r = next;
  }
}

#endif

// ---- Both.

#if LACUNA_BF16
using avx512::pack_rows;
#endif

template <Storage T>
inline void pack_queries(FlashState const& s, T const* const* queries) {
  return s.direct() ? pack_rows(s, queries) : pack_strips(s, queries);
}

template <Storage T>
inline void finish(FlashState const& s) {
  if (s.direct()) return;
#if LACUNA_BF16 == 2
  if constexpr (kPairs<T>) release_tiles();
#endif
  finish_strips(s);
}

#if !LACUNA_BF16
template <Storage T>
inline void write_row(float const* sums, float factor, std::int64_t dim, T* out) {
  for (std::int64_t x = 0; x < dim; x += kLanes) store_upto(out + x, load(sums + x) * factor, dim - x);
}
#endif

/// What an instruction set has in common with the one before it is compiled once: compiling it again would cost
/// everyone.
template <Storage T>
constexpr FlashKernels<T> make_flash_kernels() {
  FlashKernels<T> kernels{};
#if LACUNA_BF16
  kernels = avx512::flash_kernels<T>;
  if constexpr (kPairs<T>) {
#if LACUNA_BF16 == 2
    kernels = avx512_bf16::flash_kernels<T>;
#else
    kernels.pack_panel = &pack_panel<T>;
    kernels.copy_unit = &copy_unit<T>;
#endif
    kernels.pack_queries = &pack_queries<T>;
    kernels.attend_panel = &attend_panel<T>;
    kernels.finish = &finish<T>;
  }
#else
  kernels = {&pack_queries<T>, &pack_panel<T>, &copy_unit<T>, &attend_panel<T>,
             &attend_rows<T>,  &finish<T>,     &write_row<T>};
#endif
  return kernels;
}

template <Storage T>
inline constexpr FlashKernels<T> flash_kernels = make_flash_kernels<T>();

}  // namespace lacuna::cpu::LACUNA_TARGET
