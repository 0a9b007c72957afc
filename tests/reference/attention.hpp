#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "reference/inputs.hpp"

namespace reference {

struct Attention {
  std::vector<double> out;          // [len_q, heads_q, dim]
  std::vector<double> lse;          // [len_q, heads_q], natural logarithm
  std::vector<double> spread;       // [len_q, heads_q, dim], sum over the keys of w |V|
  std::vector<double> logit_error;  // [len_q, heads_q], worst error of one logit computed in float
};

/// Softmax attention of every query over exactly the keys that `keys_of(head, row)` names, less those
/// that the window leaves behind; a sink is a key without a value. No keys: 0 and -inf. NaN and infinities go where the
/// textbook formula sends them; where it asks for -inf - -inf, because every single logit is -inf, the row counts as
/// one without keys.
template <class KeysOf>
Attention attend(Inputs const& in, KeysOf const& keys_of) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  std::size_t const rows = static_cast<std::size_t>(in.len_q * in.heads_q);
  std::size_t const values = rows * static_cast<std::size_t>(in.dim);
  Attention result{std::vector<double>(values), std::vector<double>(rows, -kInf), std::vector<double>(values),
                   std::vector<double>(rows)};

  for (std::int64_t row = 0; row < in.len_q; ++row) {
    for (std::int64_t head = 0; head < in.heads_q; ++head) {
      Keys keys = keys_of(head, row);
      std::erase_if(keys, [&](std::int64_t j) { return in.too_old(j, row); });
      std::size_t const at = static_cast<std::size_t>(row * in.heads_q + head);
      double const sink = in.sink_logits.empty() ? -kInf : in.sink_logits[static_cast<std::size_t>(head)];
      result.lse[at] = sink;
      if (keys.empty()) continue;
      std::int64_t const kv = in.head_kv(head);
      double const* query = in.query(row, head);

      std::vector<double> logits;
      double highest = sink;
      double worst = 0.0;
      for (std::int64_t j : keys) {
        double const* key = in.key(j, kv);
        double const logit = in.capped(in.beta() * dot(query, key, in.dim));
        double terms = 0.0;
        for (std::int64_t x = 0; x < in.dim; ++x) terms += std::abs(query[x] * key[x]);
        worst = std::max(worst, in.beta() * static_cast<double>(in.dim) * terms + std::abs(logit) + 3.0 * in.soft_cap);
        logits.push_back(logit);
        highest = std::max(highest, logit);
      }

      if (std::all_of(logits.begin(), logits.end(), [](double logit) { return logit == -kInf; })) continue;
      double total = std::exp(sink - highest);
      for (double& logit : logits) total += logit = std::exp(logit - highest);
      for (std::size_t r = 0; r < keys.size(); ++r) {
        double const weight = logits[r] / total;
        double const* value = in.value(keys[r], kv);
        for (std::int64_t x = 0; x < in.dim; ++x) {
          std::size_t const slot = at * static_cast<std::size_t>(in.dim) + static_cast<std::size_t>(x);
          result.out[slot] += weight * value[x];
          result.spread[slot] += weight * std::abs(value[x]);
        }
      }
      result.lse[at] = highest + std::log(total);
      result.logit_error[at] = std::ldexp(worst, -23);
    }
  }
  return result;
}

}  // namespace reference
