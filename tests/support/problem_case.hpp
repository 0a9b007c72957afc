#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lacuna/core/dtype.hpp"
#include "lacuna/core/problem.hpp"
#include "reference/inputs.hpp"
#include "support/random.hpp"

namespace support {

/// How queries, keys and values lie in memory.
struct Layout {
  bool heads_first = false;      // [heads, tokens, dim] instead of [tokens, heads, dim]
  std::int64_t padding = 0;      // elements between one row and the next
  std::int64_t page_tokens = 0;  // 0: no page table; otherwise keys and values lie in shuffled pages
};

template <class T>
T stored(double x) {
  return lacuna::from_float<T>(static_cast<float>(x));
}

/// A NaN that no computation yields: an output element that still holds it was never written.
template <class T>
T poison() {
  if constexpr (sizeof(T) == 4) return std::bit_cast<T>(std::uint32_t{0x7FADBEEFU});
  if constexpr (sizeof(T) == 2) return std::bit_cast<T>(std::uint16_t{0x7FADU});
}

template <class T>
bool same_bits(T const& a, T const& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

/// Owns the memory of one problem and of its answer. Everything around and between the rows is NaN.
template <class T>
class ProblemCase {
 public:
  using Element = T;

  explicit ProblemCase(reference::Inputs const& in, Layout layout = {})
      : in_(in), layout_(layout), sink_logits_(in.sink_logits.begin(), in.sink_logits.end()) {
    place_queries();
    place_keys();
    place_answers();
  }

  reference::Inputs const& inputs() const { return in_; }

  lacuna::Problem<T> problem() const {
    lacuna::Problem<T> p;
    p.q = {q_.data(), {in_.len_q, in_.heads_q, in_.dim}, q_strides_};
    p.kv = kv_;
    p.scale = scale_;
    p.window_tokens = in_.window_tokens;
    p.soft_cap = static_cast<float>(in_.soft_cap);
    if (!sink_logits_.empty()) p.sink_logits = lacuna::dense_view<float const, 1>(sink_logits_.data(), {in_.heads_q});
    return p;
  }

  lacuna::AttentionOut<T> out() {
    return {{out_.data(), {in_.len_q, in_.heads_q, in_.dim}, q_strides_},
            lacuna::dense_view<float, 2>(lse_.data(), {in_.len_q, in_.heads_q})};
  }
  lacuna::KvView<T>& kv() { return kv_; }
  void set_scale(float scale) { scale_ = scale; }

  double out_at(std::int64_t row, std::int64_t head, std::int64_t x) const {
    return lacuna::to_float(out_[static_cast<std::size_t>(row * q_strides_[0] + head * q_strides_[1] + x)]);
  }
  double lse_at(std::int64_t row, std::int64_t head) const {
    return lse_[static_cast<std::size_t>(row * in_.heads_q + head)];
  }

  /// Every element of the answer was written and nothing between them.
  bool exactly_the_answer_was_written() const {
    std::vector<char> inside(out_.size());
    for (std::int64_t row = 0; row < in_.len_q; ++row)
      for (std::int64_t head = 0; head < in_.heads_q; ++head)
        for (std::int64_t x = 0; x < in_.dim; ++x)
          inside[static_cast<std::size_t>(row * q_strides_[0] + head * q_strides_[1] + x)] = 1;
    for (std::size_t e = 0; e < out_.size(); ++e)
      if (same_bits(out_[e], poison<T>()) == (inside[e] != 0)) return false;
    std::size_t const rows = static_cast<std::size_t>(in_.len_q * in_.heads_q);
    for (std::size_t e = 0; e < lse_.size(); ++e)
      if (same_bits(lse_[e], poison<float>()) == (e < rows)) return false;
    return true;
  }

  /// Outputs, then log-sum-exps, in logical order: equal when two runs gave the same bits (NaN never is).
  std::vector<double> answer() const {
    std::vector<double> values;
    for (std::int64_t row = 0; row < in_.len_q; ++row)
      for (std::int64_t head = 0; head < in_.heads_q; ++head)
        for (std::int64_t x = 0; x < in_.dim; ++x) values.push_back(out_at(row, head, x));
    for (std::int64_t row = 0; row < in_.len_q; ++row)
      for (std::int64_t head = 0; head < in_.heads_q; ++head) values.push_back(lse_at(row, head));
    return values;
  }

  void poison_answers() {
    std::fill(out_.begin(), out_.end(), poison<T>());
    std::fill(lse_.begin(), lse_.end(), poison<float>());
  }

 private:
  static constexpr std::int64_t kGap = 32;  // elements after the last row

  void place_queries() {
    std::int64_t const row = in_.dim + layout_.padding;
    q_strides_ = layout_.heads_first ? std::array<std::int64_t, 3>{row, row * in_.len_q, 1}
                                     : std::array<std::int64_t, 3>{row * in_.heads_q, row, 1};
    q_.assign(static_cast<std::size_t>(in_.len_q * in_.heads_q * row + kGap), poison<T>());
    for (std::int64_t i = 0; i < in_.len_q; ++i)
      for (std::int64_t h = 0; h < in_.heads_q; ++h)
        for (std::int64_t x = 0; x < in_.dim; ++x)
          q_[static_cast<std::size_t>(i * q_strides_[0] + h * q_strides_[1] + x)] = stored<T>(in_.query(i, h)[x]);
  }

  void place_keys() {
    std::int64_t const row = in_.dim + layout_.padding;
    kv_.heads_kv = in_.heads_kv;
    kv_.dim = in_.dim;
    kv_.len = in_.len_k;
    std::int64_t rows = in_.len_k * in_.heads_kv;
    if (layout_.page_tokens > 0) {
      std::int64_t const pages = (in_.len_k + layout_.page_tokens - 1) / layout_.page_tokens;
      rows = pages * in_.heads_kv * layout_.page_tokens;
      shuffle_pages(pages * in_.heads_kv);
      kv_.page_table = page_table_.data();
      kv_.table_stride = pages;
      kv_.page_tokens = layout_.page_tokens;
      kv_.stride_page = layout_.page_tokens * row;
      kv_.stride_token = row;
      kv_.stride_head = 0;
    } else {
      kv_.stride_token = layout_.heads_first ? row : row * in_.heads_kv;
      kv_.stride_head = layout_.heads_first ? row * in_.len_k : row;
    }
    k_.assign(static_cast<std::size_t>(rows * row + kGap), poison<T>());
    v_.assign(k_.size(), poison<T>());
    for (std::int64_t h = 0; h < in_.heads_kv; ++h) {
      for (std::int64_t j = 0; j < in_.len_k; ++j) {
        for (std::int64_t x = 0; x < in_.dim; ++x) {
          std::size_t const at = static_cast<std::size_t>(kv_.offset(h, j) + x);
          k_[at] = stored<T>(in_.key(j, h)[x]);
          v_[at] = stored<T>(in_.value(j, h)[x]);
        }
      }
    }
    kv_.k = k_.data();
    kv_.v = v_.data();
  }

  void place_answers() {
    out_.resize(q_.size());
    lse_.resize(static_cast<std::size_t>(in_.len_q * in_.heads_q + kGap));
    poison_answers();
  }

  void shuffle_pages(std::int64_t pages) {
    page_table_.resize(static_cast<std::size_t>(pages));
    for (std::size_t p = 0; p < page_table_.size(); ++p) page_table_[p] = static_cast<std::int32_t>(p);
    Random random(static_cast<std::uint64_t>(pages));
    for (std::size_t p = page_table_.size(); p > 1; --p)
      std::swap(page_table_[p - 1], page_table_[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(p)))]);
  }

  reference::Inputs in_;
  Layout layout_;
  std::vector<float> sink_logits_;
  float scale_ = 0.0F;
  std::array<std::int64_t, 3> q_strides_{};
  std::vector<T> q_, k_, v_, out_;
  std::vector<float> lse_;
  std::vector<std::int32_t> page_table_;
  lacuna::KvView<T> kv_;
};

}  // namespace support
