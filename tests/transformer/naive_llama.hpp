#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "transformer/tiny_model.hpp"

namespace test {

/// A Llama forward pass in double, loop by loop from the architecture's definition. Shares nothing with the program:
/// not the order of the weights, not the table of angles, not the attention.
class NaiveLlama {
 public:
  NaiveLlama(TinyShape const& shape, Tensors const& tensors) : s_(shape), tensors_(tensors) {}

  /// Logits after the last token, [vocab].
  std::vector<double> logits(std::vector<std::int32_t> const& tokens) const {
    Rows x;
    for (std::int32_t token : tokens) x.push_back(row(at("model.embed_tokens.weight"), token, s_.hidden));
    for (std::int64_t layer = 0; layer < s_.layers; ++layer) {
      std::string const prefix = "model.layers." + std::to_string(layer) + ".";
      add(x, attention(prefix, normed(x, prefix + "input_layernorm.weight")));
      add(x, mlp(prefix, normed(x, prefix + "post_attention_layernorm.weight")));
    }
    Rows const last = normed({x.back()}, "model.norm.weight");
    return times(last, s_.tied ? "model.embed_tokens.weight" : "lm_head.weight")[0];
  }

 private:
  using Row = std::vector<double>;
  using Rows = std::vector<Row>;

  Tensor const& at(std::string const& name) const { return tensors_.at(name); }

  static Row row(Tensor const& t, std::int64_t index, std::int64_t width) {
    return {t.values.begin() + index * width, t.values.begin() + (index + 1) * width};
  }

  static void add(Rows& x, Rows const& y) {
    for (std::size_t i = 0; i < x.size(); ++i)
      for (std::size_t j = 0; j < x[i].size(); ++j) x[i][j] += y[i][j];
  }

  Rows normed(Rows x, std::string const& name) const {
    for (Row& r : x) {
      double squares = 0.0;
      for (double e : r) squares += e * e;
      double const rms = std::sqrt(squares / static_cast<double>(r.size()) + 1e-5);
      for (std::size_t j = 0; j < r.size(); ++j) r[j] = r[j] / rms * static_cast<double>(at(name).values[j]);
    }
    return x;
  }

  Rows times(Rows const& x, std::string const& name) const {
    Tensor const& w = at(name);
    Rows y;
    for (Row const& r : x) {
      Row out;
      for (std::int64_t o = 0; o < w.shape[0]; ++o) {
        double sum = 0.0;
        for (std::size_t j = 0; j < r.size(); ++j)
          sum += r[j] * static_cast<double>(w.values[static_cast<std::size_t>(o * w.shape[1]) + j]);
        out.push_back(sum);
      }
      y.push_back(out);
    }
    return y;
  }

  /// Channel pairs (j, j + dim / 2) of the head turned by position * theta^(-2j / dim).
  Row head(Row const& r, std::int64_t index, std::int64_t position, bool turned) const {
    std::int64_t const dim = s_.head_dim;
    Row h(r.begin() + index * dim, r.begin() + (index + 1) * dim);
    Row result = h;
    if (!turned) return result;
    for (std::int64_t j = 0; j < dim; ++j) {
      std::int64_t const pair = j % (dim / 2);
      double const angle = static_cast<double>(position) *
                           std::pow(500000.0, -2.0 * static_cast<double>(pair) / static_cast<double>(dim));
      double const partner =
          j < dim / 2 ? -h[static_cast<std::size_t>(j + dim / 2)] : h[static_cast<std::size_t>(pair)];
      result[static_cast<std::size_t>(j)] =
          h[static_cast<std::size_t>(j)] * std::cos(angle) + partner * std::sin(angle);
    }
    return result;
  }

  Rows attention(std::string const& prefix, Rows const& x) const {
    Rows const q = times(x, prefix + "self_attn.q_proj.weight");
    Rows const k = times(x, prefix + "self_attn.k_proj.weight");
    Rows const v = times(x, prefix + "self_attn.v_proj.weight");
    Rows out;
    for (std::size_t i = 0; i < x.size(); ++i) {
      Row joined;
      for (std::int64_t h = 0; h < s_.heads_q; ++h) {
        std::int64_t const h_kv = h / (s_.heads_q / s_.heads_kv);
        Row const query = head(q[i], h, static_cast<std::int64_t>(i), true);
        Row sum(static_cast<std::size_t>(s_.head_dim), 0.0);
        double total = 0.0;
        for (std::size_t j = 0; j <= i; ++j) {
          Row const key = head(k[j], h_kv, static_cast<std::int64_t>(j), true);
          Row const value = head(v[j], h_kv, 0, false);
          double dot = 0.0;
          for (std::size_t c = 0; c < key.size(); ++c) dot += query[c] * key[c];
          double const weight = std::exp(dot / std::sqrt(static_cast<double>(s_.head_dim)));
          total += weight;
          for (std::size_t c = 0; c < key.size(); ++c) sum[c] += weight * value[c];
        }
        for (double e : sum) joined.push_back(e / total);
      }
      out.push_back(joined);
    }
    return times(out, prefix + "self_attn.o_proj.weight");
  }

  Rows mlp(std::string const& prefix, Rows const& x) const {
    Rows gate = times(x, prefix + "mlp.gate_proj.weight");
    Rows const up = times(x, prefix + "mlp.up_proj.weight");
    for (std::size_t i = 0; i < gate.size(); ++i)
      for (std::size_t j = 0; j < gate[i].size(); ++j)
        gate[i][j] = gate[i][j] / (1.0 + std::exp(-gate[i][j])) * up[i][j];
    return times(gate, prefix + "mlp.down_proj.weight");
  }

  TinyShape s_;
  Tensors tensors_;
};

}  // namespace test
