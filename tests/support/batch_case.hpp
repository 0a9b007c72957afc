#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "lacuna/core/batch_problem.hpp"
#include "reference/inputs.hpp"
#include "support/device.hpp"
#include "support/problem_case.hpp"
#include "support/random.hpp"

namespace support {

/// Owns a ragged batch on the device and its answer. Sequences share heads, dim, window, cap and sinks; whatever lies
/// around and between their rows is NaN. With `layout.page_tokens` keys lie in pages of one shuffled pool.
template <class T>
class BatchCase {
 public:
  explicit BatchCase(std::vector<reference::Inputs> sequences, Layout layout = {})
      : sequences_(std::move(sequences)),
        layout_(layout),
        heads_q_(sequences_.at(0).heads_q),
        heads_kv_(sequences_[0].heads_kv),
        dim_(sequences_[0].dim),
        row_(dim_ + layout.padding) {
    for (reference::Inputs const& in : sequences_) {
      cu_len_q_.push_back(cu_len_q_.back() + static_cast<std::int32_t>(in.len_q));
      max_len_q_ = std::max(max_len_q_, in.len_q);
      max_len_k_ = std::max(max_len_k_, in.len_k);
      for (std::int64_t h = 0; h < heads_kv_; ++h) lens_.push_back(static_cast<std::int32_t>(in.len_k));
    }
    place_queries();
    layout_.page_tokens > 0 ? place_pages() : place_rows();
  }

  std::vector<reference::Inputs> const& sequences() const { return sequences_; }
  std::int64_t tokens_q() const { return cu_len_q_.back(); }

  /// Capacities may be larger than the lengths at hand, as they are when a captured graph is replayed.
  lacuna::BatchProblem<T> problem() const {
    lacuna::BatchProblem<T> p;
    p.q = {d_q_->data(), {tokens_q(), heads_q_, dim_}, q_strides_};
    p.cu_len_q = d_cu_len_q_->data();
    p.kv = kv_;
    p.batch = static_cast<std::int64_t>(sequences_.size());
    p.max_len_q = max_len_q_;
    p.max_len_k = max_len_k_;
    p.window_tokens = sequences_[0].window_tokens;
    p.soft_cap = static_cast<float>(sequences_[0].soft_cap);
    if (d_sinks_) p.sink_logits = lacuna::dense_view<float const, 1>(d_sinks_->data(), {heads_q_});
    return p;
  }
  lacuna::AttentionOut<T> out() const {
    return {{d_out_->data(), {tokens_q(), heads_q_, dim_}, q_strides_},
            lacuna::dense_view<float, 2>(d_lse_->data(), {tokens_q(), heads_q_})};
  }

  /// One sequence's answer, as explain_answer takes it. Call fetch() first.
  struct Answer {
    using Element = T;
    BatchCase const* owner;
    std::size_t sequence;
    reference::Inputs const& inputs() const { return owner->sequences_[sequence]; }
    double out_at(std::int64_t row, std::int64_t head, std::int64_t x) const {
      auto const& s = owner->q_strides_;
      return lacuna::to_float(
          owner->out_[static_cast<std::size_t>((owner->cu_len_q_[sequence] + row) * s[0] + head * s[1] + x)]);
    }
    double lse_at(std::int64_t row, std::int64_t head) const {
      return owner->lse_[static_cast<std::size_t>((owner->cu_len_q_[sequence] + row) * owner->heads_q_ + head)];
    }
  };
  Answer answer(std::size_t sequence) const { return {this, sequence}; }

  void fetch() {
    out_ = d_out_->download();
    lse_ = d_lse_->download();
  }
  void poison_answers() {
    d_out_->poison();
    d_lse_->poison();
  }
  /// The bits of the fetched answer.
  std::vector<T> const& out_bits() const { return out_; }
  std::vector<float> const& lse_bits() const { return lse_; }

  /// Nothing but the rows of the answer was written.
  bool nothing_else_was_written() const {
    DeviceArray<T> const untouched(std::size_t{1});
    T const poison = untouched.download()[0];
    std::vector<char> inside(out_.size());
    for (std::int64_t row = 0; row < tokens_q(); ++row)
      for (std::int64_t head = 0; head < heads_q_; ++head)
        for (std::int64_t x = 0; x < dim_; ++x)
          inside[static_cast<std::size_t>(row * q_strides_[0] + head * q_strides_[1] + x)] = 1;
    for (std::size_t e = 0; e < out_.size(); ++e)
      if (inside[e] == 0 && !same_bits(out_[e], poison)) return false;
    return d_out_->guards_untouched() && d_lse_->guards_untouched();
  }

 private:
  template <class U>
  using Owned = std::unique_ptr<DeviceArray<U>>;
  template <class U>
  static Owned<U> own(std::vector<U> const& values) {
    return std::make_unique<DeviceArray<U>>(values);
  }

  void place_queries() {
    std::int64_t const tokens = tokens_q();
    q_strides_ = layout_.heads_first ? std::array<std::int64_t, 3>{row_, row_ * tokens, 1}
                                     : std::array<std::int64_t, 3>{row_ * heads_q_, row_, 1};
    std::vector<T> q(static_cast<std::size_t>(tokens * heads_q_ * row_), poison<T>());
    for (std::size_t b = 0; b < sequences_.size(); ++b)
      for (std::int64_t i = 0; i < sequences_[b].len_q; ++i)
        for (std::int64_t h = 0; h < heads_q_; ++h)
          for (std::int64_t x = 0; x < dim_; ++x)
            q[static_cast<std::size_t>((cu_len_q_[b] + i) * q_strides_[0] + h * q_strides_[1] + x)] =
                stored<T>(sequences_[b].query(i, h)[x]);
    d_q_ = own(q);
    d_out_ = std::make_unique<DeviceArray<T>>(q.size());
    d_lse_ = std::make_unique<DeviceArray<float>>(static_cast<std::size_t>(tokens * heads_q_));
    d_cu_len_q_ = own(cu_len_q_);
    d_lens_ = own(lens_);
    if (!sequences_[0].sink_logits.empty())
      d_sinks_ = own(std::vector<float>(sequences_[0].sink_logits.begin(), sequences_[0].sink_logits.end()));
    kv_.heads_kv = heads_kv_;
    kv_.dim = dim_;
    kv_.lens = lacuna::dense_view<std::int32_t const, 2>(d_lens_->data(),
                                                         {static_cast<std::int64_t>(sequences_.size()), heads_kv_});
  }

  void place_rows() {
    std::int64_t tokens = 0;
    std::vector<std::int32_t> first;
    for (reference::Inputs const& in : sequences_) {
      first.push_back(static_cast<std::int32_t>(tokens));
      tokens += in.len_k;
    }
    kv_.stride_token = layout_.heads_first ? row_ : row_ * heads_kv_;
    kv_.stride_head = layout_.heads_first ? row_ * tokens : row_;
    auto const at = [&](std::size_t b, std::int64_t h, std::int64_t t) {
      return h * kv_.stride_head + (first[b] + t) * kv_.stride_token;
    };
    place_keys(tokens * heads_kv_, at);
    d_first_token_ = own(first);
    kv_.first_token = d_first_token_->data();
  }

  void place_pages() {
    std::int64_t const per_page = layout_.page_tokens, pages = (max_len_k_ + per_page - 1) / per_page;
    auto const batch = static_cast<std::int64_t>(sequences_.size());
    // One page more than needed: entries behind a length lead to it, and it holds nothing but NaN.
    std::int64_t const pool = batch * heads_kv_ * pages + 1;
    std::vector<std::int32_t> order(static_cast<std::size_t>(pool));
    for (std::size_t p = 0; p < order.size(); ++p) order[p] = static_cast<std::int32_t>(p);
    Random random(static_cast<std::uint64_t>(pool));
    for (std::size_t p = order.size(); p > 1; --p)
      std::swap(order[p - 1], order[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(p)))]);
    std::vector<std::int32_t> table(static_cast<std::size_t>(batch * heads_kv_ * pages));
    for (std::int64_t b = 0; b < batch; ++b)
      for (std::int64_t h = 0; h < heads_kv_; ++h)
        for (std::int64_t p = 0; p < pages; ++p) {
          std::size_t const slot = static_cast<std::size_t>((b * heads_kv_ + h) * pages + p);
          table[slot] = p * per_page < sequences_[static_cast<std::size_t>(b)].len_k ? order[slot] : order.back();
        }
    kv_.page_tokens = per_page;
    kv_.stride_token = row_;
    kv_.stride_page = per_page * row_;
    auto const at = [&](std::size_t b, std::int64_t h, std::int64_t t) {
      std::size_t const slot = static_cast<std::size_t>((static_cast<std::int64_t>(b) * heads_kv_ + h) * pages);
      return table[slot + static_cast<std::size_t>(t / per_page)] * kv_.stride_page + t % per_page * row_;
    };
    place_keys(pool * per_page, at);
    d_page_table_ = own(table);
    kv_.page_table = lacuna::dense_view<std::int32_t const, 3>(d_page_table_->data(), {batch, heads_kv_, pages});
  }

  template <class At>
  void place_keys(std::int64_t rows, At const& at) {
    std::vector<T> k(static_cast<std::size_t>(rows * row_), poison<T>()), v(k);
    for (std::size_t b = 0; b < sequences_.size(); ++b)
      for (std::int64_t h = 0; h < heads_kv_; ++h)
        for (std::int64_t t = 0; t < sequences_[b].len_k; ++t)
          for (std::int64_t x = 0; x < dim_; ++x) {
            k[static_cast<std::size_t>(at(b, h, t) + x)] = stored<T>(sequences_[b].key(t, h)[x]);
            v[static_cast<std::size_t>(at(b, h, t) + x)] = stored<T>(sequences_[b].value(t, h)[x]);
          }
    d_k_ = own(k);
    d_v_ = own(v);
    kv_.k = d_k_->data();
    kv_.v = d_v_->data();
  }

  std::vector<reference::Inputs> sequences_;
  Layout layout_;
  std::int64_t heads_q_, heads_kv_, dim_, row_, max_len_q_ = 0, max_len_k_ = 0;
  std::vector<std::int32_t> cu_len_q_{0}, lens_;
  std::array<std::int64_t, 3> q_strides_{};
  lacuna::BatchKv<T> kv_;
  Owned<T> d_q_, d_k_, d_v_, d_out_;
  Owned<float> d_lse_, d_sinks_;
  Owned<std::int32_t> d_cu_len_q_, d_lens_, d_first_token_, d_page_table_;
  std::vector<T> out_;
  std::vector<float> lse_;
};

}  // namespace support
