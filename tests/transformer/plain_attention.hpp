#pragma once

#include <cmath>
#include <cstddef>
#include <map>
#include <vector>

#include "transformer/attention.hpp"

namespace test {

/// Attention over everything, one row at a time in double; remembers keys and values as plain vectors.
class PlainAttention : public transformer::Attention {
 public:
  void prefill(lacuna::Cpu, int layer, transformer::LayerRows const& rows, lacuna::TensorView<float, 3> out) override {
    attend(layer, rows, out);
  }
  void step(lacuna::Cpu, int layer, transformer::LayerRows const& rows, lacuna::TensorView<float, 3> out) override {
    attend(layer, rows, out);
  }

 private:
  struct Token {
    std::vector<float> k, v;  // [heads_kv * dim]
  };

  void attend(int layer, transformer::LayerRows const& rows, lacuna::TensorView<float, 3> out) {
    std::vector<Token>& tokens = layers_[layer];
    std::int64_t const dim = rows.q.extent(2);
    std::int64_t const heads_kv = rows.k.extent(1);
    for (std::int64_t row = 0; row < rows.q.extent(0); ++row) {
      Token token;
      for (std::int64_t h = 0; h < heads_kv; ++h) {
        for (std::int64_t c = 0; c < dim; ++c) {
          token.k.push_back(rows.k(row, h, c));
          token.v.push_back(rows.v(row, h, c));
        }
      }
      tokens.push_back(token);
      for (std::int64_t h = 0; h < rows.q.extent(1); ++h) attend_row(tokens, rows, row, h, out);
    }
  }

  static void attend_row(std::vector<Token> const& tokens, transformer::LayerRows const& rows, std::int64_t row,
                         std::int64_t head, lacuna::TensorView<float, 3> out) {
    std::int64_t const dim = rows.q.extent(2);
    std::int64_t const first = head / (rows.q.extent(1) / rows.k.extent(1)) * dim;
    std::vector<double> sum(static_cast<std::size_t>(dim), 0.0);
    double total = 0.0;
    for (Token const& token : tokens) {
      double dot = 0.0;
      for (std::int64_t c = 0; c < dim; ++c)
        dot += static_cast<double>(rows.q(row, head, c)) *
               static_cast<double>(token.k[static_cast<std::size_t>(first + c)]);
      double const weight = std::exp(dot / std::sqrt(static_cast<double>(dim)));
      total += weight;
      for (std::int64_t c = 0; c < dim; ++c)
        sum[static_cast<std::size_t>(c)] += weight * static_cast<double>(token.v[static_cast<std::size_t>(first + c)]);
    }
    for (std::int64_t c = 0; c < dim; ++c)
      out(row, head, c) = static_cast<float>(sum[static_cast<std::size_t>(c)] / total);
  }

  std::map<int, std::vector<Token>> layers_;
};

}  // namespace test
