#include "frontier/report/page.hpp"

#include "frontier/analysis/synthetic.hpp"
#include "frontier/report/figure.hpp"
#include "frontier/report/figures.hpp"
#include "frontier/report/findings.hpp"
#include "support/catch.hpp"
#include "transformer/json_file.hpp"
#include "transformer/scratch_folder.hpp"

namespace {

using frontier::Record;

/// Two models, two lengths, both phases; the larger model is better, sparsity hurts the hard task.
std::vector<Record> both_phases() {
  test::Synthetic made;
  made.models = {{"small", 1'000'000}, {"large", 6'000'000}};
  made.lengths = {1024, 2048};
  made.methods = {"quest", "quest:unit=32", "snapkv"};
  made.score = [](Record const& record) {
    bool const right = (record.id.task == "easy" || record.id.budget >= 0.2) && record.id.index % 5 != 0;
    return right ? (record.model == "large" ? 1.0 : 0.7) : 0.0;
  };
  std::vector<Record> records = made.records();
  made.methods = {"vertical-slash", "block-sparse"};
  made.phase = "prefill";
  for (Record& record : made.records())
    if (record.phase != "dense") records.push_back(std::move(record));
  return records;
}

bool mentions(std::vector<frontier::Finding> const& findings, std::string const& text) {
  for (frontier::Finding const& finding : findings)
    for (std::string const& sentence : finding.sentences)
      if (sentence.find(text) != std::string::npos) return true;
  return false;
}

TEST_CASE("page: one file that needs nothing else, and every figure as a picture", "[frontier]") {
  test::ScratchFolder const folder;
  CHECK(frontier::write_page(folder.path(), both_phases()).empty());
  std::string const page = transformer::read_text(folder.path() / "report.html");
  for (char const* name : {"frontier_prefill", "frontier_decode", "tasks_prefill", "tasks_decode", "iso_cost_prefill",
                           "iso_cost_decode", "error_by_length", "error_by_size", "ablations", "time"}) {
    CAPTURE(name);
    CHECK(std::filesystem::file_size(folder.path() / "figures" / (std::string(name) + ".png")) > 1000);
    CHECK(std::filesystem::file_size(folder.path() / "figures" / (std::string(name) + ".svg")) > 1000);
  }
  std::size_t figures = 0;
  for (std::size_t at = page.find("<svg"); at != std::string::npos; at = page.find("<svg", at + 1)) ++figures;
  CHECK(figures == 10);
  for (char const* outside : {"<script", "<link", "<img", "src=\"http", "href=\"http", "@import"}) {
    CAPTURE(outside);
    CHECK(page.find(outside) == std::string::npos);
  }
  CHECK_THAT(page, test::contains("Maximum compression"));
  CHECK_THAT(page, test::contains("Qwen 2.5 7B"));
  CHECK(page.find("nan") == std::string::npos);
}

TEST_CASE("page: findings say what the numbers say", "[frontier]") {
  auto const findings = frontier::findings_of(frontier::Grid(both_phases()));
  CHECK(mentions(findings, "decode at 1/2, 2048 tokens, large, of 2 methods: snapkv 0.800"));
  CHECK(mentions(findings, "decode at 1/20, 2048 tokens, large, of 2 methods: snapkv 0.400"));
  CHECK(mentions(findings, "quest (decode), large, 2048 tokens: 12.5x on average over 2 tasks"));
  CHECK(mentions(findings, "the first to give way is hard, at 5.0x"));
  CHECK_FALSE(mentions(findings, "int8"));
  CHECK_FALSE(mentions(findings, "second"));
  CHECK(frontier::findings_of(frontier::Grid(std::vector<Record>{})).empty());
}

TEST_CASE("page: figures show few methods, settings have a figure of their own", "[frontier]") {
  frontier::Grid const grid(both_phases());
  CHECK(frontier::shown_methods(grid, "decode") == std::vector<std::string>{"snapkv", "quest"});
  CHECK(frontier::shown_methods(grid, "prefill") == std::vector<std::string>{"vertical-slash", "block-sparse"});
  CHECK(frontier::complete_methods(grid, "decode").size() == 2);
  std::vector<Record> fewer = both_phases();
  std::erase_if(fewer, [](Record const& record) { return record.id.method == "snapkv" && record.id.length == 2048; });
  CHECK(frontier::complete_methods(frontier::Grid(fewer), "decode") == std::vector<std::string>{"quest"});
  auto const ablations = frontier::ablations_of(grid);
  REQUIRE(ablations.size() == 1);
  CHECK(ablations[0].method == "quest");
  CHECK(ablations[0].setting == "unit");
  CHECK(ablations[0].variants == std::vector<std::string>{"quest", "quest:unit=32"});
}

TEST_CASE("page: settings stand in the order of their values", "[frontier]") {
  test::Synthetic made;
  made.methods = {"quest", "quest:unit=8", "quest:unit=32", "quest:unit=16"};
  made.score = [](Record const&) { return 1.0; };
  auto const ablations = frontier::ablations_of(made.grid());
  REQUIRE(ablations.size() == 1);
  CHECK(ablations[0].variants == std::vector<std::string>{"quest", "quest:unit=8", "quest:unit=16", "quest:unit=32"});
}

TEST_CASE("page: a budget of one length and settings of one model do not mix with means over all", "[frontier]") {
  test::Synthetic made;
  made.models = {{"small", 1'000'000}, {"large", 6'000'000}};
  made.lengths = {1024, 2048};
  made.score = [](Record const& record) { return record.model == "large" ? 1.0 : 0.25; };
  std::vector<Record> records = made.records();
  made.models = {{"large", 6'000'000}};
  made.lengths = {2048};
  made.methods = {"quest:unit=32"};
  for (Record& record : made.records()) records.push_back(std::move(record));
  made.methods = {"quest"};
  made.budgets = {0.125};
  for (Record& record : made.records()) records.push_back(std::move(record));
  bool tasks = false, settings = false;
  for (frontier::Figure const& figure : frontier::figures_of(frontier::Grid(records))) {
    if (figure.name == "tasks_decode") {
      tasks = true;
      CHECK(figure.script.find("\n0.125 ") == std::string::npos);
    }
    if (figure.name != "ablations") continue;
    settings = true;
    CHECK_THAT(figure.caption, test::contains("large, 2048 tokens"));
    CHECK_THAT(figure.script, test::contains("\n0.5 1 "));
    CHECK(figure.script.find(" 0.625 ") == std::string::npos);  // the mean of both models
  }
  CHECK(tasks);
  CHECK(settings);
}

TEST_CASE("page: bars of errors are solid, whatever the dashes of their line", "[frontier]") {
  frontier::Curve const curve{.label = "a", .points = {{0.1, 0.5, 0.1}, {0.2, 0.6, 0.1}}};
  std::vector<frontier::Curve> curves(4, curve);
  for (std::size_t i = 0; i < curves.size(); ++i) curves[i].label += std::to_string(i);
  std::string const script = frontier::panels("f", "", {{"t", "x", "y", curves, ""}}, 1).script;
  CHECK(script.find("yerrorlines") == std::string::npos);
  std::size_t bars = 0;
  for (std::size_t at = script.find("yerrorbars"); at != std::string::npos; at = script.find("yerrorbars", at + 1)) {
    CHECK(script.substr(at, script.find("notitle", at) - at).find("dashtype 1 ") != std::string::npos);
    ++bars;
  }
  CHECK(bars == curves.size());
}

TEST_CASE("page: an axis of amounts has a few round ticks", "[frontier]") {
  CHECK_THAT(frontier::amount_axis(2e9, 1.2e10), test::contains("(\"2G\" 2e+09, \"5G\" 5e+09, \"10G\" 1e+10)"));
  CHECK_THAT(frontier::amount_axis(5e4, 5e6), test::contains("(\"100k\" 100000, \"300k\" 300000, \"1M\" 1e+06"));
  CHECK_THAT(frontier::amount_axis(1.0, 1e6), test::contains("(\"1\" 1, \"10\" 10, \"100\" 100, \"1k\" 1000"));
}

TEST_CASE("page: without sparse methods there is no figure to draw", "[frontier]") {
  test::Synthetic made;
  made.lengths = {1024, 2048};
  made.methods = {};
  made.score = [](Record const&) { return 1.0; };
  CHECK(frontier::figures_of(made.grid()).empty());
}

TEST_CASE("page: keys of words are a question of their own, and count nowhere else", "[frontier]") {
  test::Synthetic made;
  made.tasks = {"niah"};
  made.score = [](Record const& record) { return record.id.task == "niah" || record.phase == "dense" ? 1.0 : 0.0; };
  std::vector<Record> records = made.records();
  made.tasks = {"niah_words"};
  for (Record& record : made.records()) records.push_back(std::move(record));
  frontier::Grid const grid(records);
  CHECK(grid.tasks() == std::vector<std::string>{"niah"});
  CHECK(grid.select({.method = "quest"}).size() == 4);
  CHECK(grid.select({.task = "niah_words", .method = "quest"}).size() == 4);
  CHECK(mentions(frontier::findings_of(grid),
                 "quest at 1/5, 1024 tokens, one: 1.000 +- 0.000 with random keys, 0.000 +- 0.000 with words"));
  for (Record& record : records)
    if (record.id.task == "niah_words") record.strict = 0.0;
  CHECK(mentions(frontier::findings_of(frontier::Grid(records)), "cannot say: 0.000 on keys of words"));
}

TEST_CASE("page: nothing to show is a page all the same", "[frontier]") {
  test::ScratchFolder const folder;
  CHECK(frontier::write_page(folder.path(), {}).empty());
  CHECK(std::filesystem::file_size(folder.path() / "report.html") > 500);
}

}  // namespace
