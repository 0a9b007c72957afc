#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "support/random.hpp"

namespace test {

struct TinyShape {
  std::int64_t hidden = 24;
  std::int64_t intermediate = 40;
  std::int64_t layers = 2;
  std::int64_t heads_q = 4;
  std::int64_t heads_kv = 2;
  std::int64_t head_dim = 8;
  std::int64_t vocab = 32;
  std::int64_t max_positions = 256;
  bool tied = true;
};

struct Tensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

using Tensors = std::map<std::string, Tensor>;

/// Random weights, every value exact in bf16, so that what is stored is what was drawn.
inline Tensors random_tensors(TinyShape const& s, std::uint64_t seed) {
  Tensors tensors;
  support::Random random(seed);
  auto const add = [&](std::string const& name, std::vector<std::int64_t> shape, double mean, double spread) {
    Tensor tensor{std::move(shape), {}};
    std::int64_t count = 1;
    for (std::int64_t extent : tensor.shape) count *= extent;
    for (std::int64_t i = 0; i < count; ++i) {
      auto const bits = std::bit_cast<std::uint32_t>(static_cast<float>(mean + spread * random.normal()));
      tensor.values.push_back(std::bit_cast<float>(bits & 0xffff0000U));
    }
    tensors[name] = std::move(tensor);
  };
  double const narrow = 1.5 / std::sqrt(static_cast<double>(s.hidden));
  add("model.embed_tokens.weight", {s.vocab, s.hidden}, 0.0, 1.0);
  if (!s.tied) add("lm_head.weight", {s.vocab, s.hidden}, 0.0, 1.0);
  for (std::int64_t layer = 0; layer < s.layers; ++layer) {
    std::string const prefix = "model.layers." + std::to_string(layer) + ".";
    add(prefix + "input_layernorm.weight", {s.hidden}, 1.0, 0.2);
    add(prefix + "self_attn.q_proj.weight", {s.heads_q * s.head_dim, s.hidden}, 0.0, narrow);
    add(prefix + "self_attn.k_proj.weight", {s.heads_kv * s.head_dim, s.hidden}, 0.0, narrow);
    add(prefix + "self_attn.v_proj.weight", {s.heads_kv * s.head_dim, s.hidden}, 0.0, narrow);
    add(prefix + "self_attn.o_proj.weight", {s.hidden, s.heads_q * s.head_dim}, 0.0, narrow);
    add(prefix + "post_attention_layernorm.weight", {s.hidden}, 1.0, 0.2);
    add(prefix + "mlp.gate_proj.weight", {s.intermediate, s.hidden}, 0.0, narrow);
    add(prefix + "mlp.up_proj.weight", {s.intermediate, s.hidden}, 0.0, narrow);
    add(prefix + "mlp.down_proj.weight", {s.hidden, s.intermediate}, 0.0, narrow);
  }
  add("model.norm.weight", {s.hidden}, 1.0, 0.2);
  return tensors;
}

inline nlohmann::json config_json(TinyShape const& s) {
  return {{"model_type", "llama"},
          {"hidden_size", s.hidden},
          {"intermediate_size", s.intermediate},
          {"num_hidden_layers", s.layers},
          {"num_attention_heads", s.heads_q},
          {"num_key_value_heads", s.heads_kv},
          {"head_dim", s.head_dim},
          {"vocab_size", s.vocab},
          {"max_position_embeddings", s.max_positions},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 500000.0},
          {"rope_scaling", nullptr},
          {"hidden_act", "silu"},
          {"attention_bias", false},
          {"tie_word_embeddings", s.tied},
          {"eos_token_id", 2}};
}

inline std::string safetensors_bytes(nlohmann::json const& header, std::string const& data) {
  std::string const text = header.dump();
  std::uint64_t const length = text.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + text + data;
}

/// dtype "BF16" or "F32".
inline std::string safetensors_bytes(Tensors const& tensors, std::string const& dtype) {
  nlohmann::json header;
  std::string data;
  for (auto const& [name, tensor] : tensors) {
    std::size_t const begin = data.size();
    for (float value : tensor.values) {
      auto const bits = std::bit_cast<std::uint32_t>(value);
      char word[4];
      std::memcpy(word, &bits, sizeof word);
      data.append(dtype == "BF16" ? word + 2 : word, dtype == "BF16" ? 2 : 4);
    }
    header[name] = {{"dtype", dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  return safetensors_bytes(header, data);
}

inline nlohmann::json tokenizer_json(std::vector<std::string> const& words, std::int64_t special) {
  nlohmann::json json = {
      {"normalizer", nullptr},
      {"pre_tokenizer",
       {{"type", "Split"},
        {"pattern", {{"Regex", R"(\n|</?[a-z_]+>|[a-z][0-9]|[A-Za-z]+|[0-9]|[^\sA-Za-z0-9])"}}},
        {"behavior", "Removed"},
        {"invert", true}}},
      {"post_processor", nullptr},
      {"added_tokens", nlohmann::json::array()},
      {"model", {{"type", "WordLevel"}, {"vocab", nlohmann::json::object()}}},
  };
  for (std::size_t id = 0; id < words.size(); ++id) {
    json["model"]["vocab"][words[id]] = id;
    if (static_cast<std::int64_t>(id) < special)
      json["added_tokens"].push_back({{"id", id}, {"content", words[id]}, {"special", true}});
  }
  return json;
}

inline void write_model(std::filesystem::path const& folder, TinyShape const& shape, Tensors const& tensors,
                        std::string const& dtype = "BF16") {
  std::ofstream(folder / "config.json") << config_json(shape);
  std::ofstream(folder / "model.safetensors", std::ios::binary) << safetensors_bytes(tensors, dtype);
}

}  // namespace test
