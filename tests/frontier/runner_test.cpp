#include "frontier/runner.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "frontier/methods.hpp"
#include "frontier/random_model.hpp"
#include "support/catch.hpp"
#include "transformer/json_file.hpp"

namespace {

using frontier::Record;
using frontier::Settings;
using test::ScratchFolder;

Settings small_run(std::filesystem::path const& model, std::filesystem::path const& out) {
  Settings settings;
  settings.models = {model};
  settings.out = out;
  settings.tasks = {"niah", "vt"};
  settings.lengths = {256, 384};
  settings.methods = {"dense", "vertical-slash", "snapkv", "quest"};
  settings.budgets = {0.25, 0.5};
  settings.samples = {2, 1};
  settings.max_output_tokens = 6;
  settings.threads = 1;
  return settings;
}

/// Everything but the seconds.
std::string text_of(std::vector<Record> const& records) {
  std::ostringstream text;
  text.precision(17);
  for (Record const& r : records)
    text << r.model << ' ' << r.id.seed << ' ' << r.id.turn << ' ' << r.peak_bytes << ' ' << r.cost.prefill_flops << ' '
         << r.cost.step_bytes(1) << ' ' << r.id.task << ' ' << r.id.length << ' ' << r.id.index << ' ' << r.id.method
         << ' ' << r.id.budget << ' ' << r.id.prompt << ' ' << r.arguments << ' ' << r.prompt_tokens << ' ' << r.density
         << ' ' << r.strict << ' ' << r.compat << ' ' << r.unparsed << ' ' << r.output_tokens << ' ' << r.output << ' '
         << r.gold << '\n';
  return text.str();
}

std::string run(Settings const& settings, std::string* messages = nullptr) {
  std::ostringstream said;
  std::vector<Record> const records = frontier::run(settings, said, false);
  if (messages != nullptr) *messages = said.str();
  return text_of(records);
}

/// Of one sample: the baseline, and every other method at both budgets.
std::int64_t cells() { return 7; }

std::int64_t lines_in(std::filesystem::path const& file) {
  std::string const text = transformer::read_text(file);
  return std::count(text.begin(), text.end(), '\n');
}

}  // namespace

TEST_CASE("runner: the same numbers for any number of threads and any interruption", "[frontier]") {
  test::RandomModel const model;
  ScratchFolder const out;
  Settings settings = small_run(model.path(), out.path() / "whole");
  std::string const expected = run(settings);
  CHECK(lines_in(settings.out / "records.jsonl") == 6 * cells());

  settings.out = out.path() / "threads";
  settings.threads = 3;
  CHECK(run(settings) == expected);

  std::string const whole = transformer::read_text(settings.out / "records.jsonl");
  for (std::size_t size : {std::size_t{0}, std::size_t{100}, whole.size() / 3, whole.size() / 2, whole.size() - 1}) {
    CAPTURE(size);
    settings.out = out.path() / ("cut" + std::to_string(size));
    std::filesystem::create_directories(settings.out);
    std::ofstream(settings.out / "records.jsonl", std::ios::binary) << whole.substr(0, size);
    CHECK(run(settings) == expected);
    CHECK(lines_in(settings.out / "records.jsonl") == 6 * cells());
  }
}

TEST_CASE("runner: what is known is not computed again, and wider runs go on from it", "[frontier]") {
  test::RandomModel const model;
  ScratchFolder const out;
  Settings settings = small_run(model.path(), out.path());
  std::string const expected = run(settings);
  settings.out = out.path() / "grown";
  settings.methods = {"quest"};
  settings.samples = {1};
  run(settings);
  std::string const before = transformer::read_text(settings.out / "records.jsonl");
  settings.methods = {"dense", "vertical-slash", "snapkv", "quest"};
  settings.samples = {2, 1};
  CHECK(run(settings) == expected);
  std::string const after = transformer::read_text(settings.out / "records.jsonl");
  CHECK(after.starts_with(before));
  std::string messages;
  CHECK(run(settings, &messages) == expected);
  CHECK(messages.empty());
  CHECK(transformer::read_text(settings.out / "records.jsonl") == after);
}

TEST_CASE("runner: another model or seed never mixes with earlier records", "[frontier]") {
  test::RandomModel const model;
  test::RandomModel const other(2);
  ScratchFolder const out;
  Settings settings = small_run(model.path(), out.path());
  settings.tasks = {"vt"};
  settings.lengths = {256};
  settings.samples = {1};
  std::string const expected = run(settings);
  std::string messages;
  settings.models = {other.path()};
  CHECK(run(settings, &messages) != expected);
  CHECK_THAT(messages, test::contains(std::to_string(cells()) + " records of another model"));
  settings.models = {model.path()};
  settings.seeds = {44};
  CHECK(run(settings) != expected);
  settings.seeds = {43};
  std::int64_t const lines = lines_in(out.path() / "records.jsonl");
  CHECK(run(settings) == expected);
  CHECK(lines_in(out.path() / "records.jsonl") == lines);
  settings.fresh = true;
  CHECK(run(settings) == expected);
  CHECK(lines_in(out.path() / "records.jsonl") == cells());
}

TEST_CASE("runner: what cannot be run is refused in one line before any work", "[frontier]") {
  test::RandomModel const model;
  ScratchFolder const out;
  auto const refusal = [&](auto&& change) {
    Settings settings = small_run(model.path(), out.path());
    change(settings);
    std::string message;
    try {
      std::ostringstream said;
      frontier::run(settings, said, false);
    } catch (frontier::UsageError const& error) {
      message = error.what();
    }
    CHECK(message.find('\n') == std::string::npos);
    return message;
  };
  CHECK_THAT(refusal([](Settings& s) { s.tasks = {"juggling"}; }), test::contains("no task 'juggling'"));
  CHECK_THAT(refusal([](Settings& s) { s.methods = {"magic"}; }), test::contains("no method 'magic'"));
  CHECK_THAT(refusal([](Settings& s) { s.methods = {"quest", "quest"}; }), test::contains("twice"));
  CHECK_THAT(refusal([](Settings& s) { s.methods = {"quest:unit=7x"}; }), test::contains("'unit=7x'"));
  CHECK_THAT(refusal([](Settings& s) { s.methods = {"quest:colour=7"}; }), test::contains("'colour=7'"));
  CHECK_THAT(refusal([](Settings& s) { s.turns = 3; }), test::contains("turns"));
  CHECK_THAT(refusal([](Settings& s) { s.models.clear(); }), test::contains("one model"));
  CHECK_THAT(refusal([](Settings& s) { s.models.push_back(s.models[0]); }), test::contains("twice"));
  CHECK_THAT(refusal([](Settings& s) { s.seeds = {1, 1}; }), test::contains("twice"));
  CHECK_THAT(refusal([](Settings& s) { s.budgets = {0.0}; }), test::contains("budget"));
  CHECK_THAT(refusal([](Settings& s) { s.budgets = {1.5}; }), test::contains("budget"));
  CHECK_THAT(refusal([](Settings& s) { s.budgets = {}; }), test::contains("budget"));
  CHECK_THAT(refusal([](Settings& s) { s.samples = {0}; }), test::contains("samples"));
  CHECK_THAT(refusal([](Settings& s) { s.samples = {1, 2, 3}; }), test::contains("samples"));
  CHECK_THAT(refusal([](Settings& s) { s.lengths = {0, 256}; }), test::contains("length"));
  CHECK_THAT(refusal([](Settings& s) { s.lengths = {40, 256}; }), test::contains("length 40"));
  CHECK_THAT(refusal([](Settings& s) { s.lengths = {2048, 256}; }), test::contains("positions"));
  CHECK_THAT(refusal([](Settings& s) { s.threads = -1; }), test::contains("threads"));
  CHECK_THAT(refusal([](Settings& s) { s.max_output_tokens = 0; }), test::contains("output"));
  CHECK_FALSE(std::filesystem::exists(out.path() / "records.jsonl"));
}

TEST_CASE("runner: budgets are read as people write them", "[frontier]") {
  CHECK(frontier::parse_budget("1/20").share == 0.05);
  CHECK(frontier::parse_budget("0.05").share == 0.05);
  CHECK(frontier::parse_budget("1").share == 1.0);
  for (char const* text : {"0", "1.5", "-1/2", "1/0", "x", "", "1/20x", "nan", "0/3", "inf", "10@0^0.5", "10@8^2",
                           "-1@8^0.5", "1@8^0.5x"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(frontier::parse_budget(text), frontier::UsageError);
  }
  frontier::Budget const law = frontier::parse_budget("100@1000^0.5");
  CHECK(law.at(1000) == Approx(0.1));
  CHECK(law.at(4000) == Approx(0.05));
  CHECK(law.at(10) == 1.0);
  CHECK(frontier::budget_text(0.05) == "1/20");
  CHECK(frontier::budget_text(1.0) == "1");
  CHECK(frontier::budget_text(0.3) == "0.3");
}

TEST_CASE("runner: several models, seeds and settings of a method in one run", "[frontier]") {
  test::RandomModel const model;
  test::RandomModel const other(2);
  ScratchFolder const out;
  Settings settings = small_run(model.path(), out.path());
  settings.models.push_back(other.path());
  settings.tasks = {"vt"};
  settings.lengths = {256};
  settings.samples = {1};
  settings.seeds = {43, 44};
  settings.methods = {"dense", "quest", "quest:unit=32", "snapkv:window=16:smoothing=1"};
  std::ostringstream said;
  std::vector<Record> const records = frontier::run(settings, said, false);
  REQUIRE(records.size() == 2 * 2 * 7);
  CHECK(records.front().model != records.back().model);
  CHECK(records.front().id.configuration != records.back().id.configuration);
  CHECK(records[0].id.seed == 43);
  CHECK(records[7].id.seed == 44);
  CHECK(records[0].gold != records[7].gold);
  CHECK(records[0].phase == "dense");
  CHECK(records[0].cost.kv_reads > records[1].cost.kv_reads);
  CHECK(records[3].id.method == "quest:unit=32");
  CHECK(records[3].arguments == "page 32");
  CHECK_THAT(records[5].arguments, test::contains("window 16, smoothing 1"));
  for (Record const& record : records) CHECK(record.peak_bytes > 0);
}

TEST_CASE("runner: a second question goes to what the first has left in the cache", "[frontier]") {
  test::RandomModel const model;
  ScratchFolder const out;
  Settings settings = small_run(model.path(), out.path());
  settings.lengths = {256};
  settings.samples = {1};
  settings.tasks = {"niah", "cwe"};  // cwe has one question alone
  settings.turns = 2;
  settings.max_output_tokens = 40;
  std::ostringstream said;
  std::vector<Record> const records = frontier::run(settings, said, false);
  REQUIRE(records.size() == 3 * 7);
  for (std::size_t i = 0; i < 7; ++i) {
    Record const &first = records[i], &second = records[i + 7];
    CHECK(first.id.task == "niah");
    CHECK(first.id.turn == 1);
    CHECK(second.id.turn == 2);
    CHECK(second.id.method == first.id.method);
    CHECK(second.gold != first.gold);
    CHECK(records[i + 14].id.turns == 1);
  }
  CHECK(text_of(frontier::run(settings, said, false)) == text_of(records));
}

TEST_CASE("runner: what methods keep of every task is within a tenth of what was asked for", "[frontier]") {
  ScratchFolder const out;
  Settings settings;
  settings.models = {std::filesystem::path(LACUNA_SOURCE_DIR) / "examples/frontier/models/nine"};
  settings.out = out.path();
  settings.lengths = {1024};
  // By search on the prompt, by coverage, by the steps of an answer, by count, by share of the tokens.
  settings.methods = {"vertical-slash", "flexprefill", "quest-top-p", "block-sparse", "snapkv"};
  settings.budgets = {0.1};
  std::ostringstream said;
  for (Record const& record : frontier::run(settings, said, false)) {
    CAPTURE(record.id.task, record.id.method, record.id.budget, record.arguments);
    CHECK(record.density == Approx(record.id.budget).epsilon(0.1));
  }
}
