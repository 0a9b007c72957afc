#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "frontier/chat.hpp"
#include "frontier/runner.hpp"
#include "support/catch.hpp"
#include "transformer/scratch_folder.hpp"
#include "transformer/tiny_model.hpp"

namespace {

/// A tokenizer that can read any plain text: a token for each character, and for each of these marks.
std::string by_characters(std::vector<std::string> const& marks) {
  nlohmann::json words = nlohmann::json::object();
  for (int c = 32; c < 127; ++c) words[std::string(1, static_cast<char>(c))] = c - 32;
  words["\n"] = 95;
  nlohmann::json added = nlohmann::json::array();
  for (std::string const& mark : marks) {
    std::size_t const id = words.size();
    words[mark] = id;
    added.push_back({{"id", id}, {"content", mark}, {"special", true}});
  }
  return nlohmann::json{
      {"model", {{"type", "WordLevel"}, {"vocab", words}, {"unk_token", "?"}}},
      {"added_tokens", added},
      {"pre_tokenizer",
       {{"type", "Split"}, {"behavior", "Removed"}, {"invert", true}, {"pattern", {{"Regex", "(?s)."}}}}}}
      .dump();
}

void write_reader(test::ScratchFolder const& folder, std::vector<std::string> const& marks) {
  test::TinyShape shape;
  shape.hidden = 32;
  shape.vocab = 128;
  shape.max_positions = 8192;
  test::write_model(folder.path(), shape, test::random_tensors(shape, 3));
  folder.write("tokenizer.json", by_characters(marks));
}

}  // namespace

TEST_CASE("natural run: any model folder reads plain English, its own tokenizer counting", "[frontier]") {
  test::ScratchFolder const folder, out;
  write_reader(folder, {});  // of characters, a template is longer than the 64 tokens that are left for it
  frontier::Settings settings;
  settings.models = {folder.path()};
  settings.out = out.path();
  settings.form = frontier::Form::natural;
  settings.tasks = {"niah", "vt"};
  settings.lengths = {6000};
  settings.min_fill = 0.8;
  settings.methods = {"dense", "quest"};
  settings.budgets = {0.1};
  settings.max_output_tokens = 600;
  std::ostringstream said;
  auto const records = frontier::run(settings, said, false);
  REQUIRE(records.size() == 4);
  for (frontier::Record const& record : records) {
    CHECK(record.form == "natural");
    CHECK(record.prompt_tokens <= 6000);
    CHECK(record.prompt_tokens >= 4800);
    CHECK(record.unparsed);
    CHECK(record.strict == 0.0);
  }
  settings.turns = 2;
  CHECK_THROWS_AS(frontier::run(settings, said, false), frontier::UsageError);
}

TEST_CASE("natural run: templates are known by their marks", "[frontier]") {
  auto const rendered = [](std::vector<std::string> const& marks) {
    test::ScratchFolder const folder;
    folder.write("tokenizer.json", by_characters(marks));
    return frontier::ChatTemplate(transformer::Tokenizer(folder.path() / "tokenizer.json"))("Why?");
  };
  CHECK(rendered({}) == "Why?\n");
  CHECK(rendered({"<|im_start|>", "<|im_end|>"}) ==
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n");
  CHECK(rendered({"<bos>", "<start_of_turn>", "<end_of_turn>"}) ==
        "<bos><start_of_turn>user\nWhy?<end_of_turn>\n<start_of_turn>model\n");
  CHECK_THAT(rendered({"<|start_header_id|>"}),
             test::contains("<|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|>"));
}
