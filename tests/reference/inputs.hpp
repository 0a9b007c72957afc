#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace reference {

/// One attention problem in double. The numbers are already rounded to whatever storage type the library is given, so
/// that the two sides start from the same values. Query row i stands at position len_k - len_q + i.
struct Inputs {
  std::int64_t len_q = 0;
  std::int64_t len_k = 0;
  std::int64_t heads_q = 1;
  std::int64_t heads_kv = 1;
  std::int64_t dim = 1;
  std::vector<double> q;              // [len_q, heads_q, dim]
  std::vector<double> k;              // [len_k, heads_kv, dim]
  std::vector<double> v;              // [len_k, heads_kv, dim]
  std::int64_t window_tokens = 0;     // keys that a query sees, its own included; 0: all
  double soft_cap = 0.0;              // of the logits; 0: none
  std::vector<double> sink_logits{};  // [heads_q], or empty

  std::int64_t group() const { return heads_q / heads_kv; }
  std::int64_t head_kv(std::int64_t head_q) const { return head_q / group(); }
  std::int64_t position(std::int64_t row) const { return len_k - len_q + row; }
  double beta() const { return 1.0 / std::sqrt(static_cast<double>(dim)); }
  double capped(double logit) const { return soft_cap == 0.0 ? logit : soft_cap * std::tanh(logit / soft_cap); }
  bool too_old(std::int64_t key, std::int64_t row) const {
    return window_tokens > 0 && position(row) - key >= window_tokens;
  }

  double const* query(std::int64_t row, std::int64_t head) const { return &q[(row * heads_q + head) * dim]; }
  double const* key(std::int64_t token, std::int64_t head) const { return &k[(token * heads_kv + head) * dim]; }
  double const* value(std::int64_t token, std::int64_t head) const { return &v[(token * heads_kv + head) * dim]; }
};

/// The set E_h(i): key positions, ascending, each once.
using Keys = std::vector<std::int64_t>;

inline double dot(double const* a, double const* b, std::int64_t dim) {
  double sum = 0.0;
  for (std::int64_t x = 0; x < dim; ++x) sum += a[x] * b[x];
  return sum;
}

/// Everything up to and including the query's own position.
inline Keys dense_keys(Inputs const& in, std::int64_t row) {
  Keys keys;
  for (std::int64_t j = 0; j <= in.position(row); ++j) keys.push_back(j);
  return keys;
}

}  // namespace reference
