#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace transformer {

/// What config.json says about a Llama decoder. Sizes are counts of elements.
struct Config {
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t layers = 0;
  std::int64_t heads_q = 0;
  std::int64_t heads_kv = 0;  // heads_q when the file is silent
  std::int64_t head_dim = 0;  // hidden_size / heads_q when the file is silent
  std::int64_t vocab_size = 0;
  std::int64_t max_positions = 0;
  float rms_norm_eps = 0.0F;
  float rope_theta = 0.0F;
  bool tie_word_embeddings = false;
  std::vector<std::int32_t> stop_ids;  // any of these ends the answer; may be empty
};

/// Reads a config.json. Throws std::runtime_error naming file and key when the file asks for anything that this
/// transformer does not compute: another architecture, biases, scaled rotary positions.
Config read_config(std::filesystem::path const& file);

}  // namespace transformer
