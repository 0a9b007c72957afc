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

#if LACUNA_BF16
using avx512::add_seen_unit_values;
using avx512::add_seen_values;
using avx512::finish_strips;
using avx512::hide_absent;
#else

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

/// Operands::value.
using ValueOf = float (*)(float const* panel, std::int64_t dim, std::int64_t key, std::int64_t x, bool narrow);

/// Row by row, only what a row sees: a weight of 0 would let the NaN of a value through that it does not. `value` reads
/// the panel; weights are pairs or not, as soften left them.
LACUNA_RARE void add_seen_values(FlashState const& s, Strip const& strip, float const* values, bool pairs,
                                 ValueOf value) {
  for (std::int64_t r = 0; r < strip.width; ++r) {
    std::int64_t const end = strip.seen == nullptr ? strip.most : strip.seen[r];
    for (std::int64_t j = strip.hidden == nullptr ? 0 : strip.hidden[r]; j < end; ++j) {
      float weight = strip.scores[j * s.stride + r];
      if (pairs) {
        std::uint32_t pair;
        std::memcpy(&pair, strip.scores + j / 2 * s.stride + r, sizeof pair);
        weight = to_float(bfloat16{static_cast<std::uint16_t>(j % 2 == 0 ? pair : pair >> 16)});
      }
      for (std::int64_t x = 0; x < s.dim; ++x)
        strip.sums[x * s.stride + r] += weight * value(values, s.dim, j, x, false);
    }
  }
}

/// The same of units.
LACUNA_RARE void add_seen_unit_values(FlashState const& s, Strip const& strip, KeyUnits const& units, Weights order,
                                      ValueOf value) {
  for (std::int64_t r = 0; r < strip.width; ++r) {
    std::int64_t const begin = strip.hidden == nullptr ? 0 : strip.hidden[r];
    std::int64_t const end = strip.seen == nullptr ? strip.most : strip.seen[r];
    std::int64_t j = 0;
    for (KeyUnit const* unit = units.units; j < end; ++unit) {
      float const* const scores = strip.scores + (order == Weights::pairs ? j / 2 : j) * s.stride + r;
      for (std::int64_t i = 0; i < unit->count; ++i, ++j) {
        if (j < begin || j >= end || (unit->absent >> i & 1U) != 0) continue;
        float weight = scores[i * s.stride];
        if (order != Weights::singles) {
          std::uint32_t pair;
          std::memcpy(&pair, scores + i / 2 * s.stride, sizeof pair);
          weight = to_float(bfloat16{static_cast<std::uint16_t>(i % 2 == 0 ? pair : pair >> 16)});
        }
        for (std::int64_t x = 0; x < s.dim; ++x)
          strip.sums[x * s.stride + r] += weight * value(unit->values, s.dim, unit->first + i, x, units.narrow);
      }
    }
  }
}

/// -inf to the scores of keys that are not there.
inline void hide_absent(FlashState const& s, KeyUnits const& units, Strip const& strip) {
  std::int64_t row = 0;
  for (std::int64_t u = 0; u < units.count; row += units.units[u++].count) {
    KeyUnit const& unit = units.units[u];
    if (unit.absent == 0) continue;
    for (std::int64_t i = 0; i < unit.count; ++i)
      if ((unit.absent >> i & 1U) != 0)
        for (std::int64_t x = 0; x < strip.width; x += kLanes)
          store(strip.scores + (row + i) * s.stride + x, splat(-kInfinity));
  }
}

#endif

#if LACUNA_BF16 != 2

template <Storage T>
inline bool pack_panel(T const* const* keys, T const* const* values, std::int64_t count, std::int64_t dim,
                       float* panel_keys, float* panel_values, bool narrow) {
  Operands<T>::load_keys(keys, count, dim, panel_keys);
  return Operands<T>::load_values(values, count, dim, panel_values, narrow);
}

#endif

template <Storage T>
inline void attend_panel(FlashState const& s, Panel const& panel, std::int32_t const* seen) {
  using Math = Operands<T>;
  constexpr Weights kOrder = kPairs<T> ? Weights::pairs : Weights::singles;
  std::int64_t const count = panel.count;
  for (std::int64_t r = 0, rows; r < s.rows; r += rows) {
    Strip const strip = strip_of(s, r, count, seen);
    rows = strip.rows;
    if (strip.most == 0 || (strip.hidden != nullptr && strip.hidden[0] >= strip.most)) continue;
    Math::multiply_keys(panel.keys, strip.most, s.dim, strip.q, strip.scores, s.stride, strip.width);
    if (s.squash != 0.0F) squash_scores(s, strip.scores, strip.most, strip.width);
    soften<kOrder>(s, strip);
    if (panel.finite || (strip.least == count && strip.most_hidden == 0))
      Math::add_values(panel.values, strip.most, s.dim, strip.scores, strip.sums, s.stride, strip.width);
    else
      add_seen_values(s, strip, panel.values, kPairs<T>, &Math::value);
  }
}

template <Storage T>
inline void attend_units(FlashState const& s, KeyUnits const& units, std::int32_t const* seen) {
  using Math = Operands<T>;
  for (std::int64_t r = 0, rows; r < s.rows; r += rows) {
    Strip const strip = strip_of(s, r, units.keys, seen);
    rows = strip.rows;
    if (strip.most == 0 || (strip.hidden != nullptr && strip.hidden[0] >= strip.most)) continue;
    Math::multiply_units(units, strip.most, s.dim, strip.q, strip.scores, s.stride, strip.width);
    if (s.squash != 0.0F) squash_scores(s, strip.scores, strip.most, strip.width);
    hide_absent(s, units, strip);
    soften<Math::kUnitWeights>(s, strip);
    if (units.finite)
      Math::add_unit_values(units, strip.most, s.dim, strip.scores, strip.sums, s.stride, strip.width);
    else
      add_seen_unit_values(s, strip, units, Math::kUnitWeights, &Math::value);
  }
}

// ---- Both.

template <Storage T>
inline void pack_queries(FlashState const& s, T const* const* queries) {
  return s.direct() ? pack_rows(s, queries) : pack_strips(s, queries);
}

template <Storage T>
inline void finish(FlashState const& s) {
  if (s.direct()) return finish_rows<T>(s);
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
#endif
    kernels.pack_queries = &pack_queries<T>;
    kernels.attend_panel = &attend_panel<T>;
    kernels.attend_units = &attend_units<T>;
    kernels.finish = &finish<T>;
    kernels.grain = Operands<T>::kGrain;
  }
#else
  kernels = {&pack_queries<T>, &pack_panel<T>, &attend_panel<T>, &attend_units<T>,
             &attend_rows<T>,  &finish<T>,     &write_row<T>,    1};
#endif
  return kernels;
}

template <Storage T>
inline constexpr FlashKernels<T> flash_kernels = make_flash_kernels<T>();

}  // namespace lacuna::cpu::LACUNA_TARGET
