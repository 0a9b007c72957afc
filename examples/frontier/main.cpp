#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>

#include "frontier/data/prepared.hpp"
#include "frontier/methods.hpp"
#include "frontier/report.hpp"
#include "frontier/runner.hpp"
#include "frontier/show.hpp"
#include "frontier/tasks/estimate.hpp"
#include "frontier/tasks/task.hpp"
#include "transformer/tokenizer.hpp"

namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

template <class All, class NameOf>
std::string names(All const& all, NameOf const& name_of) {
  std::string text;
  for (auto const& one : all) text += (text.empty() ? "" : ", ") + name_of(one);
  return text;
}

std::string task_names() {
  return names(frontier::all_tasks(), [](auto const* task) { return task->name(); });
}

std::string method_names() {
  return names(frontier::all_methods(), [](auto const& method) { return method.name; });
}

CLI::Option* list(CLI::Option* option) { return option->delimiter(',')->capture_default_str(); }

CLI::App* add_run(CLI::App& app, frontier::Settings& settings, std::vector<std::string>& budgets) {
  CLI::App* const run = app.add_subcommand("run", "Take the model through the tasks under every method");
  run->add_option("--model", settings.model, "folder with config.json, model.safetensors and tokenizer.json")
      ->capture_default_str();
  run->add_option("--out", settings.out, "folder for records, summary and picture")->capture_default_str();
  list(run->add_option("--tasks", settings.tasks, "all, or some of: " + task_names()));
  run->add_option("--methods", settings.methods, "all, or some of: " + method_names())->delimiter(',');
  list(run->add_option("--lengths", settings.lengths, "most tokens of a prompt"));
  list(run->add_option("--budgets", budgets, "nominal shares of the dense work, in (0, 1]"));
  list(run->add_option("--samples", settings.samples, "one number for all lengths, or one for each"));
  run->add_option("--seed", settings.seed, "of the prompts")->capture_default_str();
  run->add_option("--max-output", settings.max_output_tokens, "tokens of an answer")->capture_default_str();
  run->add_option("--threads", settings.threads, "0: as many as the machine has")->capture_default_str();
  run->add_flag("--fresh", settings.fresh, "forget the records of earlier runs");
  return run;
}

/// What `generate` and `show` need to make prompts.
struct PromptOptions {
  frontier::Preparation preparation;
  std::string form = "natural";
  std::filesystem::path model = frontier::Settings{}.model;

  void add_to(CLI::App& command) {
    frontier::NaturalSettings& natural = preparation.natural;
    command
        .add_option("--form", form,
                    "natural: plain English, lengths estimated; compact: the bundled models' vocabulary")
        ->check(CLI::IsMember({"natural", "compact"}))
        ->capture_default_str();
    command.add_option("--model", model, "folder of the model; its tokenizer counts in the compact form")
        ->capture_default_str();
    command.add_option("--seed", preparation.seed, "of the prompts")->capture_default_str();
    command.add_option("--min-fill", preparation.min_fill, "share of the length that a prompt must have")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    command.add_option("--max-output", preparation.max_output_tokens, "tokens that a gold answer may have")
        ->capture_default_str();
    command.add_option("--words", natural.words, "one English word a line, for cwe")->capture_default_str();
    command.add_option("--squad", natural.squad, "data file of SQuAD 2.0, for qa_squad");
    command.add_option("--quality", natural.quality, "data file of QuALITY, for qa_quality");
    command.add_option("--toefl", natural.toefl, "data file or folder of TOEFL-QA, for qa_toefl");
    command
        .add_option("--purchase-probability", natural.purchase_probability,
                    "of each chapter of story_multihop; below 1 the item before can be chapters away")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    command.add_flag("--drop-orphan-sales", natural.drop_orphan_sales,
                     "in story_filtering, leave out sales of what was never acquired");
  }

  void finish() {
    preparation.form = form == "natural" ? frontier::Form::natural : frontier::Form::compact;
    preparation.count = frontier::estimate_tokens;
    if (preparation.form == frontier::Form::compact) {
      auto const tokenizer = std::make_shared<transformer::Tokenizer const>(model / "tokenizer.json");
      preparation.count = [tokenizer](std::string_view text) {
        return static_cast<std::int64_t>(tokenizer->encode(text).size());
      };
    }
  }
};

CLI::App* add_generate(CLI::App& app, PromptOptions& options, std::filesystem::path& folder) {
  CLI::App* const generate = app.add_subcommand("generate", "Write prompts and gold answers as JSON lines");
  list(generate->add_option("--tasks", options.preparation.tasks,
                            "all whose data files are named, or some of: " + task_names()));
  list(generate->add_option("--lengths", options.preparation.lengths, "most tokens of a prompt"));
  generate->add_option("--samples", options.preparation.samples, "of each task and length")->capture_default_str();
  generate->add_option("--out", folder, "folder for a file of each task and length")->capture_default_str();
  options.add_to(*generate);
  return generate;
}

struct ShowOptions {
  std::string task = "niah";
  std::int64_t length = 2048;
  std::int64_t index = 0;
  std::string method;
  std::string budget = "1/10";
  std::filesystem::path picture;
};

CLI::App* add_show(CLI::App& app, PromptOptions& options, ShowOptions& wanted) {
  CLI::App* const show = app.add_subcommand("show", "Print one prompt, or what a method keeps of it");
  show->add_option("--task", wanted.task, "one of: " + task_names())->capture_default_str();
  show->add_option("--length", wanted.length, "most tokens of the prompt")->capture_default_str();
  show->add_option("--index", wanted.index, "of the sample")->capture_default_str();
  show->add_option("--method", wanted.method,
                   "show what it keeps instead, in the compact form; one of: " + method_names());
  show->add_option("--budget", wanted.budget, "nominal share of the dense work, in (0, 1]")->capture_default_str();
  show->add_option("--picture", wanted.picture, "write what the method keeps as SVG too");
  options.add_to(*show);
  return show;
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

/// All tasks but those whose data file is not named.
std::vector<std::string> possible_tasks(frontier::Preparation const& preparation) {
  frontier::NaturalSettings const& natural = preparation.natural;
  std::vector<std::string> possible;
  for (frontier::Task const* task : frontier::all_tasks()) {
    std::string const name = task->name();
    bool const lacks_data =
        preparation.form == frontier::Form::natural &&
        ((name == "qa_squad" && natural.squad.empty()) || (name == "qa_quality" && natural.quality.empty()) ||
         (name == "qa_toefl" && natural.toefl.empty()));
    if (lacks_data) {
      std::cerr << "frontier: " << name << " is left out: --" << name.substr(3) << " names no data\n";
    } else {
      possible.push_back(name);
    }
  }
  return possible;
}

int generate(frontier::Preparation preparation, std::filesystem::path const& folder) {
  if (preparation.tasks.empty()) preparation.tasks = possible_tasks(preparation);
  std::vector<frontier::Prepared> const prepared = frontier::write_prepared(preparation, folder);
  std::printf("%-16s %8s %8s   %-24s %s\n", "task", "length", "samples", "tail tokens (min..max)", "fill (min)");
  for (frontier::Prepared const& one : prepared) {
    std::printf("%-16s %8lld %8lld   %8.2f (%lld..%lld)%*s %5.3f (%.3f)\n", one.task.c_str(),
                static_cast<long long>(one.length), static_cast<long long>(one.samples), one.tail_mean,
                static_cast<long long>(one.tail_min), static_cast<long long>(one.tail_max), 4, "", one.fill_mean,
                one.fill_min);
  }
  std::printf("written: %s/TASK-LENGTH.jsonl\n", folder.c_str());
  return 0;
}

int show(PromptOptions const& options, ShowOptions const& wanted) {
  frontier::Preparation const& preparation = options.preparation;
  auto const task = frontier::task_in_form(wanted.task, preparation.form, preparation.natural);
  frontier::Sample const sample = frontier::prepare_one(*task, preparation, wanted.length, wanted.index);
  if (wanted.method.empty()) {
    std::cout << sample.prompt << "\n\n--- gold answer ---\n" << sample.gold << '\n';
    for (std::string const& other : sample.other_golds) std::cout << "or: " << other << '\n';
    std::cout << "--- " << sample.prompt_tokens << " tokens, " << sample.tail_tokens << " of them after the context\n";
    return 0;
  }
  double const budget = frontier::parse_budget(wanted.budget);
  frontier::Kept const kept = frontier::kept_of(options.model, *task, sample, wanted.length, wanted.method, budget);
  frontier::write_kept(std::cout, kept);
  if (!wanted.picture.empty()) frontier::draw_kept(wanted.picture, kept);
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
  PromptOptions prompts;
  std::filesystem::path folder = "out/prompts";
  CLI::App const* const generates = add_generate(app, prompts, folder);
  ShowOptions wanted;
  CLI::App const* const shows = add_show(app, prompts, wanted);
  try {
    app.parse(argument_count, arguments);
    settings.budgets.clear();
    for (std::string const& budget : budgets) settings.budgets.push_back(frontier::parse_budget(budget));
    for (std::vector<std::string>* chosen : {&settings.tasks, &settings.methods, &prompts.preparation.tasks})
      if (*chosen == std::vector<std::string>{"all"}) chosen->clear();
    if (shows->parsed() && !wanted.method.empty()) prompts.form = "compact";
    if (generates->parsed() || shows->parsed()) prompts.finish();
    if (generates->parsed()) return generate(prompts.preparation, folder);
    if (shows->parsed()) return show(prompts, wanted);
    return run(settings);
  } catch (CLI::Success const& help) {
    return app.exit(help);
  } catch (CLI::ParseError const& error) {
    std::cerr << "frontier: " << error.what() << '\n';
    return kUsage;
  } catch (frontier::UsageError const& error) {
    std::cerr << "frontier: " << error.what() << '\n';
    return kUsage;
  } catch (std::invalid_argument const& error) {
    std::cerr << "frontier: " << error.what() << '\n';
    return kUsage;
  } catch (std::exception const& error) {
    std::cerr << "frontier: " << error.what() << '\n';
    return kFailed;
  }
}
