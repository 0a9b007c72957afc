#pragma once

#include <cstdint>
#include <filesystem>
#include <lacuna/lacuna.hpp>
#include <span>
#include <vector>

#include "transformer/attention.hpp"
#include "transformer/config.hpp"
#include "transformer/eigen.hpp"
#include "transformer/safetensors.hpp"

namespace transformer {

/// One sequence about to read one more token.
struct Continuation {
  std::int32_t token = 0;
  std::int64_t position = 0;  // the number of tokens before it
  Attention* attention = nullptr;
};

/// A Llama decoder: embedding, layers of grouped-query attention and SwiGLU with RMSNorm before each, tied or separate
/// head. Weights are f32 in memory, whatever the file holds. Immutable after construction, so any number of threads and
/// sequences share one; all state of a sequence is in its Attention.
class Model {
 public:
  /// Reads config.json and model.safetensors. Throws std::runtime_error naming the file and what is wrong with it.
  explicit Model(std::filesystem::path const& folder);

  Config const& config() const { return config_; }
  std::int64_t parameters() const { return parameters_; }

  /// Reads a prompt from position 0; returns the logits after its last token, [vocab_size]. Throws on an empty prompt,
  /// an id outside the vocabulary, or more tokens than the configuration has positions.
  std::vector<float> prefill(lacuna::Cpu exec, std::span<std::int32_t const> tokens, Attention& attention) const;

  /// Reads one token of each of several sequences, so that the weights pass by once for all; returns the logits of
  /// each, [sequences][vocab_size]. A sequence's numbers do not depend on which others come along. Attention runs one
  /// sequence a thread.
  std::vector<std::vector<float>> step(lacuna::Cpu exec, std::span<Continuation const> sequences) const;

 private:
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  struct Layer {
    std::vector<float> input_norm;  // [hidden]
    Matrix qkv;                     // [(heads_q + 2 heads_kv) * head_dim, hidden]
    Matrix attention_out;           // [hidden, heads_q * head_dim]
    std::vector<float> mlp_norm;    // [hidden]
    Matrix gate_up;                 // [2 intermediate, hidden]
    Matrix down;                    // [hidden, intermediate]
  };

  Layer read_layer(SafeTensors const& file, std::int64_t index);
  Matrix read_stacked(SafeTensors const& file, std::vector<std::string> const& names,
                      std::vector<std::int64_t> const& rows, std::int64_t columns);
  std::vector<float> read_norm(SafeTensors const& file, std::string const& name);
  void fill_rotations();

  Matrix embed(std::span<std::int32_t const> tokens) const;
  void check_position(std::int64_t position) const;
  void project_rows(Layer const& layer, Matrix const& hidden, std::int64_t first, std::int64_t count,
                    Matrix& qkv) const;
  void rotate(float* heads, std::int64_t count, std::int64_t position) const;
  LayerRows layer_rows(Matrix const& qkv, std::int64_t first, std::int64_t count) const;
  void finish_rows(Layer const& layer, Matrix const& attended, std::int64_t first, std::int64_t count,
                   Matrix& hidden) const;
  Matrix logits(Matrix last_hidden) const;

  Config config_;
  std::int64_t parameters_ = 0;
  Matrix embedding_;  // [vocab, hidden]
  Matrix head_;       // [vocab, hidden]; empty when tied
  std::vector<Layer> layers_;
  std::vector<float> final_norm_;    // [hidden]
  std::vector<float> rotation_cos_;  // [max_positions, head_dim / 2]
  std::vector<float> rotation_sin_;
};

}  // namespace transformer
