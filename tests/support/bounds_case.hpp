#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "reference/quest.hpp"
#include "support/problem_case.hpp"

namespace support {

/// A problem with all that a store may keep beside keys and values, made without one, so that a selector can be judged
/// without trusting a store: page bounds of the oracle's, keys in 8 bits, positions, and no attention received so far.
template <class T>
class BoundsCase {
 public:
  BoundsCase(reference::Inputs const& in, std::int64_t page_tokens, Layout layout = {})
      : case_(in, layout), page_tokens_(page_tokens) {
    for (std::int64_t head = 0; head < in.heads_kv; ++head) {
      for (std::int64_t page = 0; page < pages(); ++page) {
        auto const bounds = reference::page_bounds(in, head, page, page_tokens);
        for (double x : bounds.low) bounds_.push_back(stored<T>(x));
        for (double x : bounds.high) bounds_.push_back(stored<T>(x));
      }
    }
    case_.kv().bounds = lacuna::dense_view<T const, 4>(bounds_.data(), {in.heads_kv, pages(), 2, in.dim});
    case_.kv().bounds_page_tokens = page_tokens;
    for (std::int64_t head = 0; head < in.heads_kv; ++head)
      for (std::int64_t token = 0; token < in.len_k; ++token) {
        encode_key(in.key(token, head), in.dim);
        positions_.push_back(static_cast<std::int32_t>(token));
      }
    mass_.resize(positions_.size());
    case_.kv().key_codes = lacuna::dense_view<std::int8_t const, 3>(codes_.data(), {in.heads_kv, in.len_k, in.dim});
    case_.kv().key_scales = lacuna::dense_view<float const, 2>(scales_.data(), {in.heads_kv, in.len_k});
    case_.kv().positions = lacuna::dense_view<std::int32_t const, 2>(positions_.data(), {in.heads_kv, in.len_k});
    case_.kv().mass = lacuna::dense_view<float, 2>(mass_.data(), {in.heads_kv, in.len_k});
  }
  BoundsCase(BoundsCase const&) = delete;
  BoundsCase& operator=(BoundsCase const&) = delete;

  std::int64_t pages() const { return (case_.inputs().len_k + page_tokens_ - 1) / page_tokens_; }
  lacuna::Problem<T> problem() const { return case_.problem(); }
  ProblemCase<T>& problem_case() { return case_; }

 private:
  void encode_key(double const* key, std::int64_t dim) {
    double largest = 0.0;
    for (std::int64_t x = 0; x < dim; ++x)
      if (!(std::abs(key[x]) <= largest)) largest = std::abs(key[x]);  // a NaN stays
    scales_.push_back(static_cast<float>(largest / 127.0));
    for (std::int64_t x = 0; x < dim; ++x) {
      double const code = std::nearbyint(key[x] / largest * 127.0);
      codes_.push_back(std::isfinite(code) ? static_cast<std::int8_t>(code) : std::int8_t{0});
    }
  }

  ProblemCase<T> case_;
  std::int64_t page_tokens_;
  std::vector<T> bounds_;
  std::vector<std::int8_t> codes_;
  std::vector<float> scales_, mass_;
  std::vector<std::int32_t> positions_;
};

}  // namespace support
