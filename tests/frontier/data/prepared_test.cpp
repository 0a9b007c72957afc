#include "frontier/data/prepared.hpp"

#include <nlohmann/json.hpp>

#include "frontier/tasks/natural_support.hpp"
#include "frontier/tasks/task_support.hpp"
#include "support/catch.hpp"
#include "transformer/json_file.hpp"
#include "transformer/scratch_folder.hpp"

using namespace frontier;

namespace {

Preparation of(std::vector<std::string> tasks) {
  Preparation preparation{.tasks = std::move(tasks), .lengths = {4096, 8192}, .samples = 3};
  preparation.count = estimate_tokens;
  return preparation;
}

}  // namespace

TEST_CASE("write_prepared: a file of each task and length, a sample a line") {
  test::ScratchFolder const folder;
  std::vector<Prepared> const prepared = write_prepared(of({"niah", "story_filtering"}), folder.path() / "new" / "out");
  REQUIRE(prepared.size() == 4);
  for (Prepared const& one : prepared) {
    CHECK(one.file == folder.path() / "new" / "out" / (one.task + "-" + std::to_string(one.length) + ".jsonl"));
    std::int64_t index = 0;
    double tails = 0;
    for (std::string const& line : test::lines_of(transformer::read_text(one.file))) {
      auto const json = nlohmann::json::parse(line);
      Sample const sample = prepare_one(*task_in_form(one.task, Form::natural, {}), of({}), one.length, index);
      CHECK(json.at("index") == index);
      CHECK(json.at("input_text") == sample.prompt);
      CHECK(json.at("gold_answer") == sample.gold);
      CHECK(json.at("length") == sample.prompt_tokens + estimate_tokens(sample.gold));
      CHECK(json.at("tail_tokens") == sample.tail_tokens);
      tails += static_cast<double>(sample.tail_tokens);
      if (one.task == "story_filtering") CHECK(json.at("chapters").is_string());
      ++index;
    }
    CHECK(index == 3);
    CHECK(one.samples == 3);
    CHECK(one.tail_mean == Approx(tails / 3));
    CHECK(one.tail_min <= one.tail_mean);
    CHECK(one.tail_max >= one.tail_mean);
    CHECK(one.fill_min >= 0.95);
    CHECK(one.fill_mean <= 1.0);
  }
}

TEST_CASE("write_prepared: more samples begin with the same") {
  test::ScratchFolder const folder;
  Preparation preparation = of({"vt"});
  preparation.lengths = {4096};
  std::string const three = transformer::read_text(write_prepared(preparation, folder.path()).front().file);
  preparation.samples = 5;
  std::string const five = transformer::read_text(write_prepared(preparation, folder.path()).front().file);
  CHECK(five.starts_with(three));
  CHECK(five.size() > three.size());
}

TEST_CASE("write_prepared: several right answers are a list") {
  test::ScratchFolder const folder;
  Preparation preparation = of({"qa_squad"});
  preparation.natural.squad = folder.write(
      "dev.json",
      R"({"data": [{"paragraphs": [{"context": "It is so.", "qas": [{"question": "Is it?", "is_impossible": false,
          "answers": [{"text": "so"}, {"text": "it is"}]}]}]}]})");
  preparation.lengths = {512};
  preparation.samples = 1;
  preparation.min_fill = 0.1;
  auto const file = write_prepared(preparation, folder.path()).front().file;
  auto const json = nlohmann::json::parse(transformer::read_text(file));
  CHECK(json.at("gold_answer") == nlohmann::json::array({"so", "it is"}));
  CHECK(json.at("target_document") == "1");
}

TEST_CASE("write_prepared: what cannot be written says which task, length and sample, and leaves no file") {
  test::ScratchFolder const folder;
  Preparation preparation = of({"vt"});
  preparation.lengths = {300};
  CHECK_THROWS_WITH(write_prepared(preparation, folder.path()), test::contains("task vt, length 300, sample 0: "));
  CHECK(std::filesystem::is_empty(folder.path()));
  preparation.lengths = {0};
  CHECK_THROWS_WITH(write_prepared(preparation, folder.path()), test::contains("length"));
  preparation.samples = 0;
  CHECK_THROWS_WITH(write_prepared(preparation, folder.path()), test::contains("samples"));
  CHECK_THROWS_WITH(write_prepared(of({"nap"}), folder.path()), test::contains("'nap'"));
  CHECK_THROWS_WITH(write_prepared(of({"qa_toefl"}), folder.path()), test::contains("qa_toefl"));
  CHECK_THROWS_WITH(write_prepared(of({"niah"}), "/proc/none"), test::contains("/proc/none"));
}

TEST_CASE("task_in_form: the compact ones need no files") {
  for (Task const* task : all_tasks()) CHECK(task_in_form(task->name(), Form::compact, {}).get() == task);
}
