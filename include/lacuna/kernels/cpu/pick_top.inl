// Included by each_target.inl, once for each instruction set: where a row of scores is cut.
namespace lacuna::cpu::LACUNA_TARGET {

/// Scores as integers in the same order; NaN is -inf, and both zeros are one.
LACUNA_INLINE Ints ranks_of(Vec const& scores) {
  Vec const one_zero = scores + 0.0F, numbers = one_zero == one_zero ? one_zero : splat(-kInfinity);
  Ints const bits = reinterpret_cast<Ints>(numbers);
  return bits ^ (bits >> 31 & 0x7fffffff);
}

/// Some ranks: whole vectors, and one more that is filled up with what ranks below all.
struct Ranks {
  std::int32_t const* data;
  std::int64_t whole;  // ranks in whole vectors
  Ints rest;
};

/// How many rank at or above the cut.
inline std::int64_t count_from(Ranks const& ranks, std::int32_t cut) {
  Ints fewer = ranks.rest >= cut;  // -1 where it does
  for (std::int64_t i = 0; i < ranks.whole; i += kLanes) fewer += load(ranks.data + i) >= cut;
  std::int64_t from = 0;
  for (int i = 0; i < kLanes; ++i) from -= fewer[i];
  return from;
}

/// A cut at or above which `kept` of the scores rank, or the lowest above which fewer than that do. Leaves the ranks.
inline std::int32_t cut_scores(float const* scores, std::int64_t count, std::int64_t kept, std::int32_t* ranks) {
  Ranks all{ranks, count / kLanes * kLanes, ranks_of(load_upto(scores, count))};
  Ints lowest = all.rest, highest = all.rest;
  for (std::int64_t i = 0; i < all.whole; i += kLanes) {
    Ints const rank = ranks_of(load(scores + i));
    std::memcpy(ranks + i, &rank, sizeof rank);
    lowest = rank < lowest ? rank : lowest;
    highest = rank > highest ? rank : highest;
  }
  for (int i = 0; i < kLanes; ++i) {
    bool const there = i < count - all.whole;
    if (there) ranks[all.whole + i] = ranks_of(splat(scores[all.whole + i]))[0];
    all.rest[i] = there ? ranks[all.whole + i] : std::numeric_limits<std::int32_t>::min();
    if (!there) continue;
    lowest[0] = std::min<std::int32_t>(lowest[0], all.rest[i]);
    highest[0] = std::max<std::int32_t>(highest[0], all.rest[i]);
  }
  std::int64_t low = lowest[0], high = highest[0];
  for (int i = 1; i < kLanes; ++i) {
    low = std::min<std::int64_t>(low, lowest[i]);
    high = std::max<std::int64_t>(high, highest[i]);
  }
  while (low < high) {
    std::int64_t const middle = low + (high - low + 1) / 2;
    std::int64_t const from = count_from(all, static_cast<std::int32_t>(middle));
    if (from == kept) return static_cast<std::int32_t>(middle);
    if (from > kept)
      low = middle;
    else
      high = middle - 1;
  }
  return static_cast<std::int32_t>(low);
}

}  // namespace lacuna::cpu::LACUNA_TARGET
