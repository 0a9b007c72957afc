#include "transformer/config.hpp"

#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "transformer/json_file.hpp"

namespace transformer {
namespace {

constexpr std::int64_t kLargestSize = 1 << 24;  // far above any model, far below any overflow of a product of two

class Reader {
 public:
  explicit Reader(std::filesystem::path const& file) : file_(file), json_(read_json_object(file)) {}

  [[noreturn]] void fail(std::string const& key, std::string const& what) const {
    throw std::runtime_error(file_.string() + ": key '" + key + "' " + what);
  }

  bool has(std::string const& key) const { return json_.contains(key) && !json_.at(key).is_null(); }

  std::int64_t size(std::string const& key) const {
    if (!has(key)) fail(key, "is missing");
    return whole_number(key, json_.at(key), 1);
  }

  std::int64_t size_or(std::string const& key, std::int64_t fallback) const { return has(key) ? size(key) : fallback; }

  float positive(std::string const& key) const {
    if (!has(key)) fail(key, "is missing");
    if (!json_.at(key).is_number()) fail(key, "must be a number");
    double const value = json_.at(key).get<double>();
    if (!(value > 0.0) || !std::isfinite(value)) fail(key, "must be positive");
    return static_cast<float>(value);
  }

  bool flag(std::string const& key, bool fallback) const {
    if (!has(key)) return fallback;
    if (!json_.at(key).is_boolean()) fail(key, "must be true or false");
    return json_.at(key).get<bool>();
  }

  void must_be(std::string const& key, std::string const& wanted) const {
    if (!has(key)) fail(key, "is missing");
    if (json_.at(key) != wanted)
      fail(key, "is " + json_.at(key).dump() + ", but only \"" + wanted + "\" is computed here");
  }

  std::vector<std::int32_t> ids(std::string const& key) const {
    std::vector<std::int32_t> result;
    if (!has(key)) return result;
    nlohmann::json const& value = json_.at(key);
    if (!value.is_array()) return {static_cast<std::int32_t>(whole_number(key, value, 0))};
    for (auto const& id : value) result.push_back(static_cast<std::int32_t>(whole_number(key, id, 0)));
    return result;
  }

 private:
  std::int64_t whole_number(std::string const& key, nlohmann::json const& value, std::int64_t least) const {
    if (!value.is_number_integer()) fail(key, "must be a whole number");
    std::int64_t const number = value.get<std::int64_t>();
    if (number < least || number > kLargestSize)
      fail(key,
           "is " + value.dump() + ", but must lie in " + std::to_string(least) + ".." + std::to_string(kLargestSize));
    return number;
  }

  std::filesystem::path file_;
  nlohmann::json json_;
};

}  // namespace

Config read_config(std::filesystem::path const& file) {
  Reader const reader(file);
  reader.must_be("model_type", "llama");
  if (reader.has("hidden_act")) reader.must_be("hidden_act", "silu");
  for (char const* key : {"rope_scaling", "rope_parameters", "quantization_config"})
    if (reader.has(key)) reader.fail(key, "is set, but is not computed here");
  for (char const* key : {"attention_bias", "mlp_bias"})
    if (reader.flag(key, false)) reader.fail(key, "is true, but projections have no bias here");

  Config config;
  config.hidden_size = reader.size("hidden_size");
  config.intermediate_size = reader.size("intermediate_size");
  config.layers = reader.size("num_hidden_layers");
  config.heads_q = reader.size("num_attention_heads");
  config.heads_kv = reader.size_or("num_key_value_heads", config.heads_q);
  config.vocab_size = reader.size("vocab_size");
  config.max_positions = reader.size("max_position_embeddings");
  config.rms_norm_eps = reader.positive("rms_norm_eps");
  config.rope_theta = reader.positive("rope_theta");
  config.tie_word_embeddings = reader.flag("tie_word_embeddings", false);
  config.stop_ids = reader.ids("eos_token_id");

  if (config.heads_q % config.heads_kv != 0)
    reader.fail("num_key_value_heads", "must divide num_attention_heads, " + std::to_string(config.heads_q));
  if (!reader.has("head_dim") && config.hidden_size % config.heads_q != 0)
    reader.fail("num_attention_heads", "must divide hidden_size where head_dim is not given");
  config.head_dim = reader.size_or("head_dim", config.hidden_size / config.heads_q);
  if (config.head_dim % 2 != 0 || config.head_dim > 512)
    reader.fail("head_dim", "is " + std::to_string(config.head_dim) + ", but must be even and at most 512");
  for (std::int32_t id : config.stop_ids)
    if (id >= config.vocab_size)
      reader.fail("eos_token_id", "names token " + std::to_string(id) + ", beyond vocab_size");
  return config;
}

}  // namespace transformer
