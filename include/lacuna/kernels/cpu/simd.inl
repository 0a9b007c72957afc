// Included by each_target.inl, once for each instruction set.
namespace lacuna::cpu::LACUNA_TARGET {

// Vector extensions of GCC and Clang: no header of intrinsics to pay for, and every operator works.
inline constexpr int kLanes = LACUNA_LANES;
using Vec = float __attribute__((vector_size(kLanes * sizeof(float))));
using Words = std::uint32_t __attribute__((vector_size(kLanes * sizeof(float))));
using Ints = std::int32_t __attribute__((vector_size(kLanes * sizeof(float))));
using Shorts = std::uint16_t __attribute__((vector_size(kLanes * sizeof(std::uint16_t))));

LACUNA_INLINE Vec splat(float x) { return x - Vec{}; }  // x + 0 would cost an addition: it changes -0

LACUNA_INLINE Vec load(float const* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

LACUNA_INLINE Words load(std::uint32_t const* p) {
  Words v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

LACUNA_INLINE Ints load(std::int32_t const* p) {
  Ints v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

LACUNA_INLINE Words load_words(std::uint16_t const* p) {
  Shorts bits;
  std::memcpy(&bits, p, sizeof bits);
  return __builtin_convertvector(bits, Words);
}

LACUNA_INLINE Vec load(bfloat16 const* p) { return reinterpret_cast<Vec>(load_words(&p->bits) << 16); }

LACUNA_INLINE Vec load(half const* p) {
#if LACUNA_CONVERT_F16
  Shorts bits;
  std::memcpy(&bits, p, sizeof bits);
  Vec v;
  __asm__("vcvtph2ps %1, %0" : "=v"(v) : "v"(bits));
  return v;
#else
  Words const wide = load_words(&p->bits);
  Words const sign = (wide & 0x8000U) << 16;
  Words const magnitude = (wide & 0x7fffU) << 13;
  Words const scaled = reinterpret_cast<Words>(reinterpret_cast<Vec>(magnitude) * 0x1p112F);
  Words const special = reinterpret_cast<Words>(magnitude >= 0x0f800000U);  // infinity and NaN
  return reinterpret_cast<Vec>(sign | (special & (magnitude | 0x7f800000U)) | (~special & scaled));
#endif
}

/// The first `count` elements, at most kLanes, zeros behind them; reads nothing else.
template <class T>
LACUNA_INLINE Vec load_first(T const* p, std::int64_t count) {
  T padded[kLanes];
  copy_padded(p, static_cast<std::size_t>(count) * sizeof(T), padded, sizeof padded);
  return load(padded);
}

/// Whole vectors where they fit, the rest of a row of `count` elements otherwise.
template <class T>
LACUNA_INLINE Vec load_upto(T const* p, std::int64_t count) {
  if (count >= kLanes) return load(p);
  return load_first(p, count);
}

LACUNA_INLINE void store(float* p, Vec const& v) { std::memcpy(p, &v, sizeof v); }
LACUNA_INLINE void store(std::uint32_t* p, Words const& v) { std::memcpy(p, &v, sizeof v); }

/// v rounded to nearest, ties to even, as from_float does.
LACUNA_INLINE void store(bfloat16* p, Vec const& v) {
  Words const bits = reinterpret_cast<Words>(v);
  Words const nan = reinterpret_cast<Words>((bits & 0x7fffffffU) > 0x7f800000U);
  Words const rounded = (bits + (0x7fffU + (bits >> 16 & 1U))) >> 16;
  Shorts const narrow = __builtin_convertvector((nan & (bits >> 16 | 0x40U)) | (~nan & rounded), Shorts);
  std::memcpy(p, &narrow, sizeof narrow);
}

LACUNA_INLINE void store(half* p, Vec const& v) {
#if LACUNA_CONVERT_F16
  Shorts narrow;
  __asm__("vcvtps2ph $0, %1, %0" : "=v"(narrow) : "v"(v));
  std::memcpy(p, &narrow, sizeof narrow);
#else
  for (int i = 0; i < kLanes; ++i) p[i] = from_float<half>(v[i]);
#endif
}

template <class T>
LACUNA_INLINE void store_upto(T* p, Vec const& v, std::int64_t count) {
  if (count >= kLanes) return store(p, v);
  T whole[kLanes];
  store(whole, v);
  std::memcpy(p, whole, static_cast<std::size_t>(count) * sizeof(T));
}

LACUNA_INLINE Vec max(Vec const& a, Vec const& b) { return a > b ? a : b; }  // b where a is NaN

// Lanes whose numbers differ in bit `Bit` are partners: one step of a butterfly, in two halves.
constexpr int low_lane(int bit, int lane) { return (lane & bit) != 0 ? kLanes + (lane ^ bit) : lane; }
constexpr int high_lane(int bit, int lane) { return (lane & bit) != 0 ? kLanes + lane : (lane ^ bit); }
using Lanes = std::make_integer_sequence<int, kLanes>;

template <int Bit, int... Lane>
LACUNA_INLINE Vec low_of(Vec const& a, Vec const& b, std::integer_sequence<int, Lane...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, low_lane(Bit, Lane)...);
#else  // the same; of the two nvcc understands this one
  return __builtin_shuffle(a, b, Words{static_cast<std::uint32_t>(low_lane(Bit, Lane))...});
#endif
}

template <int Bit, int... Lane>
LACUNA_INLINE Vec high_of(Vec const& a, Vec const& b, std::integer_sequence<int, Lane...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, high_lane(Bit, Lane)...);
#else  // the same; of the two nvcc understands this one
  return __builtin_shuffle(a, b, Words{static_cast<std::uint32_t>(high_lane(Bit, Lane))...});
#endif
}

/// rows[i][j] becomes rows[j][i].
template <int Bit = 1>
LACUNA_INLINE void transpose(Vec (&rows)[kLanes]) {
  if constexpr (Bit < kLanes) {
    LACUNA_UNROLL(16)
    for (int i = 0; i < kLanes; ++i)
      if ((i & Bit) == 0) {
        Vec const low = low_of<Bit>(rows[i], rows[i | Bit], Lanes{});
        rows[i | Bit] = high_of<Bit>(rows[i], rows[i | Bit], Lanes{});
        rows[i] = low;
      }
    transpose<Bit * 2>(rows);
  }
}

/// Lane i of the result is the sum of the lanes of rows[i]; destroys rows.
template <int Bit = 1>
LACUNA_INLINE Vec sum_each(Vec (&rows)[kLanes]) {
  if constexpr (Bit < kLanes) {
    LACUNA_UNROLL(16)
    for (int i = 0; i < kLanes; i += 2 * Bit)
      rows[i] = low_of<Bit>(rows[i], rows[i + Bit], Lanes{}) + high_of<Bit>(rows[i], rows[i + Bit], Lanes{});
    return sum_each<Bit * 2>(rows);
  } else {
    return rows[0];
  }
}

template <int Bit = kLanes / 2>
LACUNA_INLINE float largest(Vec const& v) {
  if constexpr (Bit == 0) {
    return v[0];
  } else {
    return largest<Bit / 2>(max(v, high_of<Bit>(v, v, Lanes{})));
  }
}

template <int Bit = kLanes / 2>
LACUNA_INLINE float sum(Vec const& v) {
  if constexpr (Bit == 0) {
    return v[0];
  } else {
    return sum<Bit / 2>(v + high_of<Bit>(v, v, Lanes{}));
  }
}

/// 2^x for x <= 1, relative error below 2.5e-7; 0 below the normal range, NaN for NaN. Polynomial: Cephes exp2f.
LACUNA_INLINE Vec exp2(Vec const& x) {
#if LACUNA_FAST_EXP2
  Vec nearest;
  __asm__("vrndscaleps $0, %1, %0" : "=v"(nearest) : "v"(x));
  Vec const fraction = x - nearest;
#else
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer, held in the low mantissa bits
  Vec const shifted = x + kRound;
  Vec const fraction = x - (shifted - kRound);
#endif
  Vec p = fraction * 1.535336188319500e-4F + 1.339887440266574e-3F;
  p = p * fraction + 9.618437357674640e-3F;
  p = p * fraction + 5.550332471162809e-2F;
  p = p * fraction + 2.402264791363012e-1F;
  p = p * fraction + 6.931472028550421e-1F;
  p = p * fraction + 1.0F;
#if LACUNA_FAST_EXP2
  Vec power;
  __asm__("vscalefps %2, %1, %0" : "=v"(power) : "v"(p), "v"(nearest));
  return x < -126.0F ? Vec{} : power;  // also where minus infinity less itself made a NaN of the fraction
#else
  Vec const power = reinterpret_cast<Vec>((reinterpret_cast<Words>(shifted) + 127U) << 23);
  return x < -126.0F ? Vec{} : p * power;
#endif
}

/// Error below 2.5e-7 of a unit; NaN for NaN. Polynomial: Cephes tanhf.
LACUNA_INLINE Vec tanh(Vec const& x) {
  Vec const magnitude = reinterpret_cast<Vec>(reinterpret_cast<Words>(x) & 0x7fffffffU);
  Vec const square = x * x;
  Vec p = square * -5.70498872745e-3F + 2.06390887954e-2F;
  p = p * square - 5.37397155531e-2F;
  p = p * square + 1.33314422036e-1F;
  p = p * square - 3.33332819422e-1F;
  Vec const small = p * square * x + x;
  Vec const decay = exp2(magnitude * -2.8853900817779268F);  // e^(-2 |x|)
  Vec const large = (1.0F - decay) / (1.0F + decay);
  return magnitude < 0.625F ? small : x < 0.0F ? -large : large;
}

}  // namespace lacuna::cpu::LACUNA_TARGET
