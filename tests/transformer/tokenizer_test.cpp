#include "transformer/tokenizer.hpp"

#include "support/catch.hpp"
#include "transformer/scratch_folder.hpp"
#include "transformer/tiny_model.hpp"

namespace {

using Ids = std::vector<std::int32_t>;
using nlohmann::json;
using test::ScratchFolder;
using transformer::Tokenizer;

json tokenizer() {
  return test::tokenizer_json({"<bos>", "<eos>", "<answer>", "</answer>", "the", "key", "a1", "b2", "7", "0", ".", ",",
                               ":", "(", ")", "\n", "a", "1"},
                              2);
}

Tokenizer load(json const& value) {
  ScratchFolder const folder;
  return Tokenizer(folder.write("tokenizer.json", value.dump()));
}

std::string error_of(json const& value) {
  ScratchFolder const folder;
  auto const file = folder.write("tokenizer.json", value.dump());
  std::string const error = test::error_of([&] { Tokenizer{file}; });
  if (!error.empty()) CHECK_THAT(error, test::contains(file.string()));
  return error;
}

}  // namespace

TEST_CASE("tokenizer: text becomes the ids of its words", "[transformer]") {
  Tokenizer const t = load(tokenizer());
  CHECK(t.size() == 18);
  CHECK(t.encode("") == Ids{});
  CHECK(t.encode("  ") == Ids{});
  CHECK(t.encode("<bos>the key: a1b2, 70.\n") == Ids{0, 4, 5, 12, 6, 7, 11, 8, 9, 10, 15});
  CHECK(t.encode("<answer>a1</answer><eos>") == Ids{2, 6, 3, 1});
  CHECK(t.encode("a 1") == Ids{16, 17});
  CHECK(t.id_of("key") == 5);
  CHECK_FALSE(t.id_of("lock").has_value());
  CHECK_THAT(test::error_of([&] { t.encode("the lock"); }), test::contains("'lock'"));
  CHECK_THAT(test::error_of([&] { t.encode("the \xff"); }), test::contains("UTF-8"));
}

TEST_CASE("tokenizer: the longest added token wins, before any splitting", "[transformer]") {
  json value = tokenizer();
  value["added_tokens"].push_back({{"id", 18}, {"content", "the k"}});
  value["added_tokens"].push_back({{"id", 19}, {"content", "the key,"}});
  Tokenizer const t = load(value);
  CHECK_THAT(test::error_of([&] { t.encode("the key"); }), test::contains("'ey'"));
  CHECK(t.encode("the k") == Ids{18});
  CHECK(t.encode("the key, the") == Ids{19, 4});
  CHECK(t.decode(Ids{19}) == "the key,");
}

TEST_CASE("tokenizer: words are joined as the suite writes them", "[transformer]") {
  Tokenizer const t = load(tokenizer());
  for (char const* text : {"the key: a1b2, 70.", "the (a1b2) the", "<answer>\n7. the key a1\n1: b2\n</answer>",
                           "a1 7 b2", "key\n\nthe", "a 1"}) {
    CAPTURE(text);
    CHECK(t.decode(t.encode(text)) == text);
  }
  CHECK(t.decode(Ids{}).empty());
  CHECK(t.decode(Ids{0, 4, 5, 1}) == "the key");
  CHECK(t.decode(Ids{0, 4, 5, 1}, true) == "<bos> the key <eos>");
  CHECK(t.decode(Ids{4, 18, -1}) == "the <id 18> <id -1>");
}

TEST_CASE("tokenizer: what is not computed here is refused by name", "[transformer]") {
  struct Case {
    char const* pointer;
    json value;
    char const* named;
  };
  std::vector<Case> const cases = {
      {"/normalizer", {{"type", "NFC"}}, "'normalizer'"},
      {"/post_processor", {{"type", "TemplateProcessing"}}, "'post_processor'"},
      {"/truncation", {{"max_length", 8}}, "'truncation'"},
      {"/model/type", "BPE", "'model.type'"},
      {"/model", nullptr, "'model.type'"},
      {"/pre_tokenizer", nullptr, "'pre_tokenizer'"},
      {"/pre_tokenizer/type", "Whitespace", "'pre_tokenizer.type'"},
      {"/pre_tokenizer/behavior", "Isolated", "'pre_tokenizer'"},
      {"/pre_tokenizer/invert", false, "'pre_tokenizer'"},
      {"/pre_tokenizer/pattern", {{"String", " "}}, "'pre_tokenizer.pattern'"},
      {"/pre_tokenizer/pattern/Regex", "(", "regular expression"},
      {"/pre_tokenizer/pattern/Regex", 3, "'pre_tokenizer'"},
      {"/model/vocab/key", 4, "id 4"},
      {"/model/vocab/key", -1, "'key'"},
      {"/model/vocab/key", 1.5, "'key'"},
      {"/model/vocab/key", 4000000000U, "'key'"},
      {"/added_tokens/0/id", 7, "id 7"},
      {"/added_tokens/0/id", 30, "'<bos>'"},
      {"/added_tokens/0/lstrip", true, "lstrip"},
      {"/added_tokens/0/content", "", "empty"},
      {"/added_tokens/0", "x", "'added_tokens'"},
  };
  for (Case const& c : cases) {
    CAPTURE(c.pointer, c.value.dump());
    json value = tokenizer();
    value[json::json_pointer(c.pointer)] = c.value;
    CHECK_THAT(error_of(value), test::contains(c.named));
  }
}

TEST_CASE("pattern: endless searching ends in an error", "[transformer]") {
  transformer::Pattern const pattern("(a+)+$");
  std::string const text = std::string(64, 'a') + "b";
  CHECK_THAT(test::error_of([&] { pattern.matches(text); }), test::contains("limit"));
  CHECK(transformer::Pattern("x*").matches("aaa").empty());
}
