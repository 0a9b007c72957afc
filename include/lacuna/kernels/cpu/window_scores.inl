// Included by each_target.inl, once for each instruction set: softmax weights of a window of queries.
namespace lacuna::cpu::LACUNA_TARGET {

/// The strip's scores at a panel's keys join the running maximum and mass of each query.
template <Storage T>
inline void measure_window(FlashState const& s, T const* const* keys, std::int64_t count, std::int32_t const* seen) {
  Operands<T>::load_keys(keys, count, s.dim, s.keys);
#if LACUNA_BF16 == 2
  if constexpr (kPairs<T>) configure_tiles();
#endif
  FlashState without_sums = s;
  without_sums.dim = 0;
  for (std::int64_t r = 0, rows; r < s.rows; r += rows) {
    Strip const strip = strip_of(s, r, count, seen);
    rows = strip.rows;
    if (strip.most == 0) continue;
    Operands<T>::multiply_keys(s.keys, strip.most, s.dim, strip.q, strip.scores, s.stride, strip.width);
    if (s.squash != 0.0F) squash_scores(s, strip.scores, strip.most, strip.width);
    soften<Weights::none>(without_sums, strip);
  }
}

#if LACUNA_BF16
using avx512::add_window_lanes;
using avx512::raise_window_lanes;
using avx512::window_lanes;
using avx512::WindowLanes;
#else

/// Of the query rows [x, x + kLanes) of a strip.
struct WindowLanes {
  Ints seen, hidden;
  Vec top, mass;  // the highest logit, and the logarithm of the sum of weights relative to it
};

LACUNA_INLINE WindowLanes window_lanes(Strip const& strip, std::int64_t x, float const* mass) {
  WindowLanes lanes{};
  for (int i = 0; i < kLanes; ++i) {
    std::int64_t const seen = strip.seen == nullptr ? strip.most : strip.seen[x + i];
    lanes.seen[i] = x + i < strip.rows ? static_cast<std::int32_t>(seen) : 0;
  }
  if (strip.hidden != nullptr) lanes.hidden = load(strip.hidden + x);
  lanes.top = load(strip.max + x);
  lanes.mass = load(mass + x);
  return lanes;
}

/// Zero where a row does not see key j. Equal scores have equal weights, wherever the keys lie.
LACUNA_INLINE Vec window_weight(FlashState const& s, WindowLanes const& lanes, float const* scores, std::int64_t j) {
  Vec const weight = exp2((load(scores) - lanes.top) * s.scale_log2 - lanes.mass);
  Vec const early = static_cast<std::int32_t>(j) < lanes.seen ? weight : Vec{};
  return static_cast<std::int32_t>(j) < lanes.hidden ? Vec{} : early;
}

template <int... Lane>
LACUNA_INLINE Vec move_up(Vec const& v, std::integer_sequence<int, Lane...>) {  // a zero comes in below
#if defined(__clang__)
  return __builtin_shufflevector(v, Vec{}, (Lane == 0 ? kLanes : Lane - 1)...);
#else  // the same; of the two nvcc understands this one
  return __builtin_shuffle(v, Vec{}, Words{static_cast<std::uint32_t>(Lane == 0 ? kLanes : Lane - 1)...});
#endif
}

template <int... Lane>
LACUNA_INLINE Vec take_top(Vec const& v, Vec const& from,
                           std::integer_sequence<int, Lane...>) {  // from's comes in above
#if defined(__clang__)
  return __builtin_shufflevector(v, from, (Lane == kLanes - 1 ? 2 * kLanes - 1 : Lane + 1)...);
#else
  return __builtin_shuffle(v, from,
                           Words{static_cast<std::uint32_t>(Lane == kLanes - 1 ? 2 * kLanes - 1 : Lane + 1)...});
#endif
}

/// For some query rows, the sums over each diagonal: key by key the lanes move up by one, and what leaves the topmost
/// lane is complete. So a diagonal's sum is taken in one order, wherever panels begin.
inline void add_window_lanes(FlashState const& s, Strip const& strip, WindowLanes const& lanes, std::int64_t x, float* partial, float* carry,
                             WindowDiagonals const& diagonals) {
  std::int64_t const first = diagonals.first_place + (kStrip - kLanes - x);  // of key 0, for the topmost lane
  Vec moving = load(carry);
  for (std::int64_t j = 0; j < strip.most; j += kLanes) {
    Vec complete{};
    for (std::int64_t i = j; i < j + kLanes; ++i) {
      Vec const weight =
          i < strip.most ? window_weight(s, lanes, strip.scores + i * s.stride + x, i) : Vec{};  // 0 for keys of no row
      store(partial + i * kLanes, load(partial + i * kLanes) + weight);
      if (i < strip.most) moving = move_up(moving, Lanes{}) + weight;
      complete = take_top(complete, moving, Lanes{});
    }
    float sums[kLanes];
    store(sums, complete * diagonals.weight);
    std::int64_t const begin = std::max<std::int64_t>(-first - j, 0);
    std::int64_t const end = std::min({std::int64_t{kLanes}, strip.most - j, diagonals.count - first - j});
    if (begin == 0 && end == kLanes) {
      float* const place = diagonals.reversed + first + j;
      store(place, load(place) + load(sums));
    } else {
      for (std::int64_t i = begin; i < end; ++i) diagonals.reversed[first + j + i] += sums[i];
    }
  }
  store(carry, moving);
}

inline void add_window_lanes(FlashState const& s, Strip const& strip, WindowLanes const& lanes, std::int64_t x, float* partial) {
  for (std::int64_t j = 0; j < strip.most; ++j)
    store(partial + j * kLanes, load(partial + j * kLanes) + window_weight(s, lanes, strip.scores + j * s.stride + x, j));
}

/// NaN stays.
inline void raise_window_lanes(FlashState const& s, Strip const& strip, WindowLanes const& lanes, std::int64_t x, float* partial) {
  for (std::int64_t j = 0; j < strip.most; ++j) {
    Vec const weight = window_weight(s, lanes, strip.scores + j * s.stride + x, j), highest = load(partial + j * kLanes);
    store(partial + j * kLanes, ((weight > highest) | (weight != weight)) ? weight : highest);
  }
}

#endif

#if LACUNA_BF16
using avx512::weigh_window;
#else

/// The weights of the scores that measure_window left join the sums.
inline void weigh_window(FlashState const& s, std::int64_t count, std::int32_t const* seen, float const* mass,
                         WindowSums const& sums) {
  float partial[kPanelKeys * kLanes] = {};
  for (std::int64_t r = 0, rows; r < s.rows; r += rows) {
    Strip const strip = strip_of(s, r, count, seen);
    rows = strip.rows;
    WindowDiagonals diagonals = sums.diagonals;
    diagonals.first_place -= r;
    for (std::int64_t x = 0; x < strip.width; x += kLanes) {
      WindowLanes const lanes = window_lanes(strip, x, mass + r);
      if (sums.highest)
        raise_window_lanes(s, strip, lanes, x, partial);
      else if (diagonals.reversed != nullptr)
        add_window_lanes(s, strip, lanes, x, partial, sums.carry + r + x, diagonals);
      else
        add_window_lanes(s, strip, lanes, x, partial);
    }
  }
  if (!sums.highest) {
    for (std::int64_t j = 0; j < count; j += kLanes) {
      Vec block[kLanes];
      for (int i = 0; i < kLanes; ++i) block[i] = load(partial + (j + i) * kLanes);
      Vec const more = sum_each(block) * sums.diagonals.weight;
      store_upto(sums.columns + j, load_upto(sums.columns + j, count - j) + more, count - j);
    }
    return;
  }
  for (std::int64_t j = 0; j < count; ++j)
    for (int i = 0; i < kLanes; ++i) {
      float const weight = partial[j * kLanes + i];
      if (weight > sums.columns[j] || weight != weight) sums.columns[j] = weight;
    }
}

#endif

/// After the last panel: diagonals that end in the last row and have not reached a topmost lane.
inline void finish_window(std::int64_t rows, WindowSums const& sums) {
#if LACUNA_BF16 == 2
  release_tiles();
#endif
  WindowDiagonals const& diagonals = sums.diagonals;
  if (diagonals.reversed == nullptr) return;
  for (std::int64_t t = rows - 1; t < round_up(rows, kLanes) - 1; ++t) {
    std::int64_t const place = diagonals.count - 1 - (t - (rows - 1));
    if (place >= 0) diagonals.reversed[place] += sums.carry[t] * diagonals.weight;
  }
}

template <Storage T>
constexpr WindowKernels<T> make_window_kernels() {
#if LACUNA_BF16
  if constexpr (!kPairs<T>)
    return avx512::window_kernels<T>;
  else
#endif
    return {&pack_strips<T>, &measure_window<T>, &weigh_window, &finish_window};
}

template <Storage T>
inline constexpr WindowKernels<T> window_kernels = make_window_kernels<T>();

}  // namespace lacuna::cpu::LACUNA_TARGET
