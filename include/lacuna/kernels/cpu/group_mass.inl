// Included by each_target.inl, once for each instruction set: query groups against key groups, a lane per query group.
namespace lacuna::cpu::LACUNA_TARGET {

template <Storage T>
inline void pack_groups(T const* const* queries, std::int64_t count, std::int64_t dim, float* strip) {
  Operands<T>::pack_queries(queries, count, dim, 1.0F, strip, kStrip);
}

template <Storage T>
inline void multiply_groups(GroupProduct<T> const& p) {
  Operands<T>::load_keys(p.keys, p.present, p.dim, p.panel);
  std::memset(p.panel + p.present * Operands<T>::key_floats(p.dim), 0,
              static_cast<std::size_t>((kPanelKeys - p.present) * Operands<T>::key_floats(p.dim)) * sizeof(float));
#if LACUNA_BF16 == 2
  if constexpr (kPairs<T>) configure_tiles();
#endif
  for (std::int64_t strip = 0; strip < p.strips; ++strip)
    Operands<T>::multiply_keys(p.panel, p.count, p.dim, p.queries + strip * p.queries_step,
                               p.logits + strip * kPanelKeys * kStrip, kStrip, kStrip, p.add);
#if LACUNA_BF16 == 2
  if constexpr (kPairs<T>) release_tiles();
#endif
}

#if LACUNA_BF16
using avx512::add_group_panel;
using avx512::add_shares;
using avx512::share_groups;
#else

/// The panel's weights join the sums of their blocks, relative to each query group's running maximum.
inline void add_group_panel(GroupSums const& s, std::int64_t first, std::int64_t count, std::int64_t first_group) {
  Vec const lowest = splat(-kInfinity);
  for (std::int64_t x = 0; x < kStrip; x += kLanes) {
    Ints own;  // of the panel's keys, the one of the lane's own group: the last that it sees
    for (int i = 0; i < kLanes; ++i) own[i] = static_cast<std::int32_t>(first_group + x + i - first);
    Vec highest = load(s.highest + x);
    for (std::int64_t j = 0; j < count; ++j) {
      float* const logits = s.logits + j * kStrip + x;
      Vec scaled = (s.squash != 0.0F ? tanh(load(logits) * s.squash) : load(logits)) * s.scale_log2;
      scaled = static_cast<std::int32_t>(j) <= own ? scaled : lowest;
      if (s.oldest != nullptr) scaled = static_cast<std::int32_t>(j) < load(s.oldest + x) ? lowest : scaled;
      store(logits, scaled);
      highest = max(scaled, highest);
    }
    store(s.highest + x, highest);
    Vec const base = highest == lowest ? Vec{} : highest;
    for (std::int64_t j = 0; j < count;) {
      std::int64_t const block = (first + j) / s.block_groups;
      std::int64_t const end = std::min((block + 1) * s.block_groups - first, count);
      float* const place = s.sums + block * kStrip + x;
      float* const place_base = s.bases + block * kStrip + x;
      Vec sum{};
      if (block * s.block_groups < first + j) {  // begun in an earlier panel
        Vec const before = load(place);
        sum = before == 0.0F ? Vec{} : before * exp2(load(place_base) - base);  // 0 times infinity would be NaN
      }
      for (; j < end; ++j) sum += exp2(load(s.logits + j * kStrip + x) - base);
      store(place, sum);
      store(place_base, base);
    }
  }
}

/// The sums become shares: of all that a query group gives, times its own factor.
inline void share_groups(GroupSums const& s, std::int64_t blocks, float const* factors) {
  for (std::int64_t x = 0; x < kStrip; x += kLanes) {
    Vec const highest = load(s.highest + x), base = highest == -kInfinity ? Vec{} : highest;
    Vec total{};
    for (std::int64_t block = 0; block < blocks; ++block) {
      float* const place = s.sums + block * kStrip + x;
      Vec const before = load(place);
      Vec const sum = before == 0.0F ? Vec{} : before * exp2(load(s.bases + block * kStrip + x) - base);
      store(place, sum);
      total += sum;
    }
    Vec const share = load(factors + x) / total;
    for (std::int64_t block = 0; block < blocks; ++block) {
      float* const place = s.sums + block * kStrip + x;
      store(place, load(place) * share);
    }
  }
}

/// rows[g][block] += what query group g gives, where rows[g] is not null; in the order of the groups.
inline void add_shares(GroupSums const& s, std::int64_t blocks, float* const* rows) {
  for (std::int64_t first = 0; first < blocks; first += kLanes)
    for (std::int64_t x = 0; x < kStrip; x += kLanes) {
      Vec block[kLanes];
      for (int i = 0; i < kLanes; ++i) block[i] = load(s.sums + (first + i) * kStrip + x);
      transpose(block);
      for (int i = 0; i < kLanes; ++i)
        if (rows[x + i] != nullptr) {
          float* const row = rows[x + i] + first;
          store_upto(row, load_upto(row, blocks - first) + block[i], blocks - first);
        }
    }
}

#endif

template <Storage T>
constexpr GroupKernels<T> make_group_kernels() {
#if LACUNA_BF16
  if constexpr (!kPairs<T>)
    return avx512::group_kernels<T>;
  else
#endif
    return {&pack_groups<T>, &multiply_groups<T>, &add_group_panel, &share_groups, &add_shares};
}

template <Storage T>
inline constexpr GroupKernels<T> group_kernels = make_group_kernels<T>();

}  // namespace lacuna::cpu::LACUNA_TARGET
