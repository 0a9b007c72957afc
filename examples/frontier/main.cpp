#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "frontier/methods.hpp"
#include "frontier/report.hpp"
#include "frontier/runner.hpp"
#include "frontier/tasks/task.hpp"

namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

template <class All, class NameOf>
std::string names(All const& all, NameOf const& name_of) {
  std::string text;
  for (auto const& one : all) text += (text.empty() ? "" : ", ") + name_of(one);
  return text;
}

void add_run(CLI::App& app, frontier::Settings& settings, std::vector<std::string>& budgets) {
  CLI::App* const run = app.add_subcommand("run", "Take the model through the tasks under every method");
  auto const list = [](CLI::Option* option) { option->delimiter(','); };
  run->add_option("--model", settings.model, "folder with config.json, model.safetensors and tokenizer.json")
      ->capture_default_str();
  run->add_option("--out", settings.out, "folder for records, summary and picture")->capture_default_str();
  list(
      run->add_option("--tasks", settings.tasks,
                      "all, or some of: " + names(frontier::all_tasks(), [](auto const* task) { return task->name(); }))
          ->capture_default_str());
  list(run->add_option(
      "--methods", settings.methods,
      "all, or some of: " + names(frontier::all_methods(), [](auto const& method) { return method.name; })));
  list(run->add_option("--lengths", settings.lengths, "most tokens of a prompt")->capture_default_str());
  list(run->add_option("--budgets", budgets, "nominal shares of the dense work, in (0, 1]")->capture_default_str());
  list(run->add_option("--samples", settings.samples, "one number for all lengths, or one for each")
           ->capture_default_str());
  run->add_option("--seed", settings.seed, "of the prompts")->capture_default_str();
  run->add_option("--max-output", settings.max_output_tokens, "tokens of an answer")->capture_default_str();
  run->add_option("--threads", settings.threads, "0: as many as the machine has")->capture_default_str();
  run->add_flag("--fresh", settings.fresh, "forget the records of earlier runs");
}

int run(frontier::Settings const& settings) {
  frontier::Evaluation const evaluation = frontier::run(settings, std::cerr, ::isatty(STDERR_FILENO) != 0);
  std::vector<frontier::ReportRow> const rows = frontier::rows_of(evaluation.records);
  frontier::write_table(std::cout, rows);
  frontier::write_summary(settings.out / "summary.csv", rows,
                          {settings.model.filename().string(), evaluation.parameters, settings.seed});
  bool const drawn = frontier::draw_frontier(settings.out, rows);
  std::cout << "written: " << settings.out.string() << "/{records.jsonl, summary.csv"
            << (drawn ? ", frontier.svg, frontier.png" : "") << "}\n";
  if (!drawn) std::cerr << "frontier: gnuplot could not draw " << (settings.out / "frontier.gp").string() << '\n';
  return 0;
}

}  // namespace

int main(int argument_count, char** arguments) {
  CLI::App app{"Sparse attention methods on long-context tasks"};
  app.require_subcommand(1);
  frontier::Settings settings;
  std::vector<std::string> budgets;
  for (double budget : settings.budgets) budgets.push_back(frontier::budget_text(budget));
  add_run(app, settings, budgets);
  try {
    app.parse(argument_count, arguments);
    settings.budgets.clear();
    for (std::string const& budget : budgets) settings.budgets.push_back(frontier::parse_budget(budget));
    for (std::vector<std::string>* list : {&settings.tasks, &settings.methods})
      if (*list == std::vector<std::string>{"all"}) list->clear();
    return run(settings);
  } catch (CLI::Success const& help) {
    return app.exit(help);
  } catch (CLI::ParseError const& error) {
    std::cerr << "frontier: " << error.what() << '\n';
    return kUsage;
  } catch (frontier::UsageError const& error) {
    std::cerr << "frontier: " << error.what() << '\n';
    return kUsage;
  } catch (std::exception const& error) {
    std::cerr << "frontier: " << error.what() << '\n';
    return kFailed;
  }
}
