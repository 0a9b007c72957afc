// Included by each_target.inl, once for each instruction set: softmax weights of a window of queries.
namespace lacuna::cpu::LACUNA_TARGET {

template <Storage T>
inline Strip score_strip(FlashState const& s, std::int64_t r, std::int64_t count, std::int32_t const* seen) {
  std::int64_t const rows = std::min(kStrip, s.rows - r);
  Strip const strip{round_up(rows, 16),
                    seen == nullptr ? count : seen[r],
                    seen == nullptr ? count : seen[r + rows - 1],
                    seen == nullptr ? nullptr : seen + r,
                    s.q + r * row_floats(s.dim),
                    nullptr,
                    s.mass + r,
                    s.max + r,
                    s.hidden == nullptr ? nullptr : s.hidden + r,
                    s.hidden == nullptr ? 0 : s.hidden[r + rows - 1]};
  if (strip.most > 0) Operands<T>::multiply_keys(s.keys, strip.most, s.dim, strip.q, s.scores, strip.width);
  if (s.squash != 0.0F) squash_scores(s, strip.most, strip.width);
  return strip;
}

template <Storage T>
inline void load_window_keys(FlashState const& s, T const* const* keys, std::int64_t count) {
  Operands<T>::load_keys(keys, count, s.dim, s.keys);
#if LACUNA_BF16 == 2
  if constexpr (kPairs<T>) configure_tiles();
#endif
}

/// Running maximum and mass of every query.
template <Storage T>
inline void measure_window(FlashState const& s, T const* const* keys, std::int64_t count, std::int32_t const* seen) {
  load_window_keys(s, keys, count);
  FlashState without_sums = s;
  without_sums.dim = 0;
  for (std::int64_t r = 0; r < s.rows; r += kStrip) {
    Strip const strip = score_strip<T>(s, r, count, seen);
    if (strip.most > 0) soften<false>(without_sums, strip);
  }
}

/// weights[r][j] = softmax of query r at key j, where it is seen; lse in base 2. // [rows, kPanelKeys]
template <Storage T>
inline void weigh_window(FlashState const& s, T const* const* keys, std::int64_t count, std::int32_t const* seen,
                         float const* lse, float* weights) {
  load_window_keys(s, keys, count);
  for (std::int64_t r = 0; r < s.rows; r += kStrip) {
    Strip const strip = score_strip<T>(s, r, count, seen);
    for (std::int64_t x = 0; x < strip.width; x += kLanes) {
      Vec const total = load(lse + r + x);
      for (std::int64_t j = 0; j < strip.most; j += kLanes) {
        Vec block[kLanes];
        for (int i = 0; i < kLanes; ++i) block[i] = exp2(load(s.scores + (j + i) * kStrip + x) * s.scale_log2 - total);
        transpose(block);
        for (int i = 0; i < kLanes; ++i) store(weights + (r + x + i) * kPanelKeys + j, block[i]);
      }
    }
  }
}

/// to[j] += from[j] * factor.
inline void add_scaled(float const* from, float factor, std::int64_t count, float* to) {
  std::int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) store(to + j, load(to + j) + load(from + j) * factor);
  for (; j < count; ++j) to[j] += from[j] * factor;
}

inline void finish_window() {
#if LACUNA_BF16 == 2
  release_tiles();
#endif
}

template <Storage T>
inline constexpr WindowKernels<T> window_kernels{&pack_strips<T>, &measure_window<T>, &weigh_window<T>, &add_scaled,
                                                 &finish_window};

}  // namespace lacuna::cpu::LACUNA_TARGET
