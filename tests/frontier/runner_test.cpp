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
  settings.model = model;
  settings.out = out;
  settings.tasks = {"niah", "vt"};
  settings.lengths = {256, 384};
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
    text << r.id.task << ' ' << r.id.length << ' ' << r.id.index << ' ' << r.id.method << ' ' << r.id.budget << ' '
         << r.id.prompt << ' ' << r.arguments << ' ' << r.prompt_tokens << ' ' << r.density << ' ' << r.strict << ' '
         << r.compat << ' ' << r.unparsed << ' ' << r.output_tokens << ' ' << r.output << ' ' << r.gold << '\n';
  return text.str();
}

std::string run(Settings const& settings, std::string* messages = nullptr) {
  std::ostringstream said;
  std::vector<Record> const records = frontier::run(settings, said, false).records;
  if (messages != nullptr) *messages = said.str();
  return text_of(records);
}

/// Of one sample: the baseline, and every other method at both budgets.
std::int64_t cells() { return 2 * static_cast<std::int64_t>(Settings().methods.size()) - 1; }

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
  settings.methods = Settings().methods;
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
  settings.model = other.path();
  CHECK(run(settings, &messages) != expected);
  CHECK_THAT(messages, test::contains(std::to_string(cells()) + " records of another model"));
  settings.model = model.path();
  settings.seed = 44;
  CHECK(run(settings) != expected);
  settings.seed = 43;
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
  CHECK(frontier::parse_budget("1/20") == 0.05);
  CHECK(frontier::parse_budget("0.05") == 0.05);
  CHECK(frontier::parse_budget("1") == 1.0);
  for (char const* text : {"0", "1.5", "-1/2", "1/0", "x", "", "1/20x", "nan", "0/3", "inf"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(frontier::parse_budget(text), frontier::UsageError);
  }
  CHECK(frontier::budget_text(0.05) == "1/20");
  CHECK(frontier::budget_text(1.0) == "1");
  CHECK(frontier::budget_text(0.3) == "0.3");
}
