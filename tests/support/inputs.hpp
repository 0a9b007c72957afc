#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "lacuna/core/dtype.hpp"
#include "reference/inputs.hpp"
#include "support/random.hpp"

namespace support {

/// What the numbers look like.
enum class Data {
  random,          // normal
  ties,            // every key alike, so every score ties
  huge,            // logits up to about 1e4
  tiny,            // denormal floats
  nan_key,         // one channel of one key is NaN
  infinite_query,  // one channel of one query is +inf, of another -inf
  one_hot,         // one key gets all the attention of whoever sees it
  vast,            // keys and values up to about 1e30, or what the storage type holds
};

inline std::string name_of(Data data) {
  switch (data) {
    case Data::random: return "random";
    case Data::ties: return "ties";
    case Data::huge: return "huge";
    case Data::tiny: return "tiny";
    case Data::nan_key: return "nan_key";
    case Data::infinite_query: return "infinite_query";
    case Data::one_hot: return "one_hot";
    case Data::vast: return "vast";
  }
  return "?";
}

/// x as a binary format with this many significant bits and this smallest exponent holds it: to nearest, ties to even.
/// Arithmetic of its own, so that a slip in the library's conversions cannot hide.
inline double round_to_format(double x, int significant_bits, int min_exponent) {
  if (x == 0.0 || !std::isfinite(x)) return x;
  int exponent = 0;
  std::frexp(x, &exponent);
  int const step = std::max(exponent - significant_bits, min_exponent - significant_bits + 1);
  return std::ldexp(std::nearbyint(std::ldexp(x, -step)), step);
}

template <class T>
double round_to(double x) {
  if constexpr (std::is_same_v<T, lacuna::bfloat16>) return round_to_format(static_cast<float>(x), 8, -126);
  if constexpr (std::is_same_v<T, lacuna::half>) return round_to_format(static_cast<float>(x), 11, -14);
  return static_cast<float>(x);
}

/// Unit roundoff of the storage type.
template <class T>
constexpr double unit_roundoff() {
  if constexpr (std::is_same_v<T, lacuna::bfloat16>) return 0x1p-8;
  if constexpr (std::is_same_v<T, lacuna::half>) return 0x1p-11;
  return 0x1p-24;
}

struct Sizes {
  std::int64_t len_q = 0;
  std::int64_t len_k = 0;
  std::int64_t heads_kv = 1;
  std::int64_t group = 1;
  std::int64_t dim = 16;
};

template <class T>
reference::Inputs make_inputs(Sizes const& sizes, Data data, std::uint64_t seed) {
  Random random(seed);
  reference::Inputs in{sizes.len_q, sizes.len_k, sizes.heads_kv * sizes.group, sizes.heads_kv, sizes.dim, {}, {}, {}};
  double const scale = data == Data::huge ? 60.0 : data == Data::tiny ? 1e-39 : 1.0;
  double const most = data != Data::vast ? 1.0 : std::is_same_v<T, lacuna::half> ? 1e4 : 1e30;
  auto fill = [&](std::vector<double>& values, std::int64_t count, double factor) {
    for (std::int64_t e = 0; e < count; ++e) values.push_back(round_to<T>(factor * random.normal()));
  };
  fill(in.q, in.len_q * in.heads_q * in.dim, scale);
  fill(in.k, in.len_k * in.heads_kv * in.dim, scale * most);
  fill(in.v, in.len_k * in.heads_kv * in.dim, data == Data::tiny ? scale : most);
  if (data == Data::ties)
    for (std::size_t e = 0; e < in.k.size(); ++e) in.k[e] = 0.5;
  if (data == Data::nan_key && in.len_k > 0)
    in.k[static_cast<std::size_t>(random.below(in.len_k) * in.heads_kv * in.dim)] =
        std::numeric_limits<double>::quiet_NaN();
  if (data == Data::infinite_query && in.len_q > 0) {
    in.q[static_cast<std::size_t>(random.below(in.len_q) * in.heads_q * in.dim)] =
        std::numeric_limits<double>::infinity();
    in.q[static_cast<std::size_t>(random.below(in.len_q) * in.heads_q * in.dim)] =
        -std::numeric_limits<double>::infinity();
  }
  if (data == Data::one_hot && in.len_k > 0) {
    for (double& x : in.q) x = round_to<T>(1.0 + std::abs(x));
    std::int64_t const hot = random.below(in.len_k) * in.heads_kv * in.dim;
    for (std::int64_t e = 0; e < in.heads_kv * in.dim; ++e)
      in.k[static_cast<std::size_t>(hot + e)] = round_to<T>(80.0 / std::sqrt(static_cast<double>(in.dim)));
  }
  return in;
}

}  // namespace support
