// Included by each_target.inl, once for each instruction set: the softmax of a strip of query rows, a lane each.
namespace lacuna::cpu::LACUNA_TARGET {

#if LACUNA_BF16
using avx512::soften;
using avx512::squash_scores;
using avx512::Strip;
using avx512::strip_of;
#else

/// Rows of a strip, at most kStrip, and how many of the panel's keys the first and the last of them see.
struct Strip {
  std::int64_t rows, width, least, most;
  std::int32_t const* seen;  // per row; null where all see all
  float *q, *sums, *mass, *max, *scores;  // the strip's columns
  std::int32_t const* hidden;  // per row; null where none are too old
  std::int64_t most_hidden;
};

/// Of the query rows from r on; `count` keys. Where rows see unlike many, each half of a strip stands for itself: the
/// first half needs less.
inline Strip strip_of(FlashState const& s, std::int64_t r, std::int64_t count, std::int32_t const* seen) {
  std::int64_t const column = r % kStrip, whole = r - column;
  std::int64_t rows = std::min(kStrip - column, s.rows - r);
  if (seen != nullptr && rows > kStrip / 2 && seen[r] != seen[r + rows - 1]) rows = kStrip / 2;
  return {rows,
          round_up(rows, 16),
          seen == nullptr ? count : seen[r],
          seen == nullptr ? count : seen[r + rows - 1],
          seen == nullptr ? nullptr : seen + r,
          s.q + whole * row_floats(s.dim) + column,
          s.sums == nullptr ? nullptr : s.sums + whole * row_floats(s.dim) + column,
          s.mass + r,
          s.max + r,
          s.scores + column,
          s.hidden == nullptr ? nullptr : s.hidden + r,
          s.hidden == nullptr ? 0 : s.hidden[r + rows - 1]};
}

/// For the first `rows` rows of scores.
LACUNA_APART void squash_scores(FlashState const& s, float* scores, std::int64_t rows, std::int64_t width) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t x = 0; x < width; x += kLanes) {
      float* const score = scores + i * s.stride + x;
      store(score, tanh(load(score) * s.squash));
    }
}

inline bool any_lane(Ints const& mask) {
  std::int32_t lanes[kLanes], any = 0;
  std::memcpy(lanes, &mask, sizeof mask);
  for (std::int32_t lane : lanes) any |= lane;
  return any != 0;
}

/// The strip's scores become weights relative to each row's running maximum, and so does what was summed before.
template <Weights Order>
inline void soften(FlashState const& s, Strip const& strip) {
  constexpr int kStep = 4;  // independent chains of maxima
  constexpr bool kUnits = Order == Weights::unit_pairs, kPaired = kUnits || Order == Weights::pairs;
  std::int64_t const end = round_up(strip.most, !kPaired ? kStep : kUnits ? kUnitKeys : 32);
  Vec const lowest = splat(-kInfinity);
  for (std::int64_t x = 0; x < strip.width; x += kLanes) {
    float* const scores = strip.scores + x;
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
    // Less the maximum, and then the scale: a fused product less a rounded one is the rounding, which may be huge.
    Vec const base = top == lowest ? Vec{} : top;  // -inf - -inf would be NaN
    Vec mass = load(strip.mass + x);
    if (any_lane(top != before)) {
      Vec const shrink = exp2((before - base) * s.scale_log2);
      store(strip.max + x, top);
      mass = mass * shrink;
      for (std::int64_t d = 0; d < s.dim; ++d)
        store(strip.sums + d * s.stride + x, load(strip.sums + d * s.stride + x) * shrink);
    }
    Vec more[2] = {};
    for (std::int64_t j = 0; j < end; j += kStep) {
      Vec weights[kStep];
      LACUNA_UNROLL(4)
      for (int i = 0; i < kStep; ++i) weights[i] = exp2((load(scores + (j + i) * s.stride) - base) * s.scale_log2);
      more[0] += weights[0] + weights[1];
      more[1] += weights[2] + weights[3];
      if constexpr (kPaired) {
        LACUNA_UNROLL(2)
        for (int i = 0; i < kStep; i += 2) {
          Words const even = reinterpret_cast<Words>(weights[i]) + 0x8000U;
          Words const odd = reinterpret_cast<Words>(weights[i + 1]) + 0x8000U;
          std::int64_t const row = kUnits ? j / kUnitKeys * kUnitKeys + (j % kUnitKeys + i) / 2 : (j + i) / 2;
          store(scores + row * s.stride, reinterpret_cast<Vec>(even >> 16 | (odd & 0xffff0000U)));
        }
      } else if constexpr (Order == Weights::singles) {
        LACUNA_UNROLL(4)
        for (int i = 0; i < kStep; ++i) store(scores + (j + i) * s.stride, weights[i]);
      }
    }
    if constexpr (kUnits)
      for (std::int64_t j = 0; j < end; ++j)
        if (j % kUnitKeys >= kUnitKeys / 2) store(scores + j * s.stride, Vec{});
    store(strip.mass + x, mass + (more[0] + more[1]));
  }
}

#endif

}  // namespace lacuna::cpu::LACUNA_TARGET
