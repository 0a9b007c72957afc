#include "transformer/config.hpp"

#include "support/catch.hpp"
#include "transformer/scratch_folder.hpp"
#include "transformer/tiny_model.hpp"

namespace {

using test::ScratchFolder;

std::string error_with(char const* key, nlohmann::json const& value) {
  ScratchFolder const folder;
  nlohmann::json json = test::config_json({});
  if (value.is_discarded())
    json.erase(key);
  else
    json[key] = value;
  auto const file = folder.write("config.json", json.dump());
  std::string const error = test::error_of([&] { transformer::read_config(file); });
  if (!error.empty()) CHECK_THAT(error, test::contains(file.string()));
  return error;
}

nlohmann::json const kAbsent = nlohmann::json::value_t::discarded;

}  // namespace

TEST_CASE("config: a plain Llama configuration is read", "[transformer]") {
  ScratchFolder const folder;
  nlohmann::json json = test::config_json({});
  json["eos_token_id"] = {2, 5};
  transformer::Config const config = transformer::read_config(folder.write("config.json", json.dump()));
  CHECK(config.hidden_size == 24);
  CHECK(config.heads_q == 4);
  CHECK(config.heads_kv == 2);
  CHECK(config.head_dim == 8);
  CHECK(config.rope_theta == 500000.0F);
  CHECK(config.tie_word_embeddings);
  CHECK(config.stop_ids == std::vector<std::int32_t>{2, 5});
}

TEST_CASE("config: what may be left out has the usual meaning", "[transformer]") {
  ScratchFolder const folder;
  nlohmann::json json = test::config_json({});
  for (char const* key : {"num_key_value_heads", "head_dim", "tie_word_embeddings", "eos_token_id", "rope_scaling"})
    json.erase(key);
  transformer::Config const config = transformer::read_config(folder.write("config.json", json.dump()));
  CHECK(config.heads_kv == config.heads_q);
  CHECK(config.head_dim == 6);
  CHECK_FALSE(config.tie_word_embeddings);
  CHECK(config.stop_ids.empty());
}

TEST_CASE("config: every key that cannot be served is named", "[transformer]") {
  struct Case {
    char const* key;
    nlohmann::json value;
  };
  std::vector<Case> const cases = {
      {"model_type", "qwen2"},
      {"model_type", kAbsent},
      {"hidden_size", kAbsent},
      {"hidden_size", 0},
      {"hidden_size", -24},
      {"hidden_size", 24.5},
      {"hidden_size", "24"},
      {"hidden_size", 18446744073709551615U},
      {"num_attention_heads", 3},
      {"num_key_value_heads", 3},
      {"head_dim", 7},
      {"head_dim", 1024},
      {"rms_norm_eps", 0},
      {"rope_theta", -1},
      {"rope_theta", kAbsent},
      {"rope_scaling", {{"type", "yarn"}}},
      {"hidden_act", "gelu"},
      {"attention_bias", true},
      {"attention_bias", "no"},
      {"mlp_bias", true},
      {"tie_word_embeddings", 1},
      {"eos_token_id", 32},
      {"eos_token_id", {1, "x"}},
  };
  for (Case const& c : cases) {
    CAPTURE(c.key, c.value.dump());
    std::string const key = std::string(c.key) == "num_attention_heads" ? "num_key_value_heads" : c.key;
    CHECK_THAT(error_with(c.key, c.value), test::contains("'" + key + "'"));
  }
}

TEST_CASE("config: a file that is not a JSON object is an error", "[transformer]") {
  ScratchFolder const folder;
  for (char const* text : {"", "[]", "{\"model_type\": \"llama\"", "\xff\xfe"}) {
    CAPTURE(text);
    auto const file = folder.write("config.json", text);
    CHECK_THAT(test::error_of([&] { transformer::read_config(file); }), test::contains(file.string()));
  }
  CHECK_THAT(test::error_of([&] { transformer::read_config(folder.path() / "none.json"); }),
             test::contains("none.json"));
  CHECK_THAT(test::error_of([&] { transformer::read_config(folder.path()); }), test::contains("directory"));
}
