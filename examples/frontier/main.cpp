#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <optional>

#include "frontier/analysis/budget_law.hpp"
#include "frontier/analysis/grid.hpp"
#include "frontier/data/prepared.hpp"
#include "frontier/methods.hpp"
#include "frontier/report.hpp"
#include "frontier/report/heat_map.hpp"
#include "frontier/report/page.hpp"
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

void add_natural(CLI::App& command, frontier::NaturalSettings& natural) {
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

/// The run's settings, and those of them that are read as text.
struct RunOptions {
  frontier::Settings settings;
  std::vector<std::string> budgets;
  std::string form = "compact";
  bool quiet = false;

  void add_to(CLI::App& run) {
    for (frontier::Budget const& budget : settings.budgets) budgets.push_back(frontier::budget_text(budget.share));
    list(run.add_option("--models,--model", settings.models,
                        "folders with config.json, model.safetensors and tokenizer.json"));
    run.add_option("--out", settings.out, "folder for records, summary and report")->capture_default_str();
    list(run.add_option("--tasks", settings.tasks, "all, or some of: " + task_names()));
    run.add_option("--methods", settings.methods,
                   "all, or some of: " + method_names() +
                       "; with settings as in quest:unit=32 (unit, window, smoothing, recent, floor)")
        ->delimiter(',');
    list(run.add_option("--lengths", settings.lengths, "most tokens of a prompt"));
    list(run.add_option("--budgets", budgets,
                        "nominal shares of the dense work, in (0, 1]; or 102@2048^0.5: 102 tokens at 2048, as many "
                        "times more as the square root of the length"));
    list(run.add_option("--samples", settings.samples, "one number for all lengths, or one for each"));
    list(run.add_option("--seeds,--seed", settings.seeds, "of the prompts"));
    run.add_option("--turns", settings.turns, "2: a second question about the same context")->capture_default_str();
    run.add_option("--form", form, "of the prompts; natural: plain English, for models of any vocabulary")
        ->check(CLI::IsMember({"natural", "compact"}))
        ->capture_default_str();
    run.add_option("--min-fill", settings.min_fill, "share of the length that a natural prompt must have")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    add_natural(run, settings.natural);
    run.add_option("--max-output", settings.max_output_tokens, "tokens of an answer")->capture_default_str();
    run.add_option("--threads", settings.threads, "0: as many as the machine has")->capture_default_str();
    run.add_flag("--quiet", quiet, "leave the report to `frontier report`");
    run.add_flag("--fresh", settings.fresh, "forget the records of earlier runs");
  }

  void finish() {
    settings.budgets.clear();
    for (std::string const& budget : budgets) settings.budgets.push_back(frontier::parse_budget(budget));
    settings.form = form == "natural" ? frontier::Form::natural : frontier::Form::compact;
    for (auto* chosen : {&settings.tasks, &settings.methods})
      if (*chosen == std::vector<std::string>{"all"}) chosen->clear();
  }
};

/// What `generate` and `show` need to make prompts.
struct PromptOptions {
  frontier::Preparation preparation;
  std::string form = "natural";
  std::filesystem::path model = frontier::Settings{}.models.front();

  void add_to(CLI::App& command) {
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
    add_natural(command, preparation.natural);
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

struct LawOptions {
  std::string model;
  std::string method = "quest";
  double error = 0.1;
  std::vector<std::int64_t> lengths;

  CLI::App* add_to(CLI::App& app) {
    CLI::App* const law = app.add_subcommand(
        "budget", "Print the budget of tokens that keeps the error of earlier runs, for --budgets of another length");
    law->add_option("--model", model, "name of the model in the records; default: the largest");
    law->add_option("--method", method, "whose budget")->capture_default_str();
    law->add_option("--error", error, "relative error against dense to keep")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    law->add_option("--lengths", lengths, "fit to these; default: all that were run")->delimiter(',');
    return law;
  }
};

int print_budget(frontier::Grid const& grid, LawOptions const& wanted) {
  if (grid.models().empty()) throw frontier::UsageError("there are no records to fit a budget to");
  std::string const model = wanted.model.empty() ? grid.models().back() : wanted.model;
  auto const law =
      frontier::fit_budget_law(grid, {.model = model, .method = wanted.method}, wanted.error, wanted.lengths);
  if (!law)
    throw frontier::UsageError(wanted.method + " of " + model + " does not cross a relative error of " +
                               std::to_string(wanted.error) + " at two lengths");
  std::vector<std::int64_t> const lengths =
      wanted.lengths.empty() ? grid.lengths({.model = model, .method = wanted.method}) : wanted.lengths;
  std::printf("%s\n", frontier::budget_of(*law, *std::max_element(lengths.begin(), lengths.end())).c_str());
  std::fprintf(stderr, "frontier: exponent %.3f, 95 %% interval %.3f to %.3f, from %lld lengths\n", law->exponent,
               law->low, law->high, static_cast<long long>(law->lengths));
  return 0;
}

/// What a report shows beyond the records: one prompt, and what methods keep of it.
struct HeatMapOptions {
  std::filesystem::path model;
  std::string task = "story_retrieval";
  std::int64_t length = 2048;
  double budget = 0.1;
};

std::optional<frontier::Figure> heat_maps(HeatMapOptions const& wanted) {
  if (wanted.model.empty()) return std::nullopt;
  // Those whose heads keep different shares; a fixed number for every head makes an even map.
  std::vector<std::string> const methods = {"vertical-slash",  "flexprefill",        "block-top-p", "xattention",
                                            "sparge",          "query-aware-blocks", "ada-snapkv",  "spread-snapkv",
                                            "coverage-snapkv", "ada-quest",          "quest-top-p"};
  auto const task = frontier::task_in_form(wanted.task, frontier::Form::compact, {});
  return frontier::heat_map_figure(frontier::heat_maps_of(wanted.model, *task, wanted.length, methods, wanted.budget),
                                   "One prompt of " + wanted.task + ", " + std::to_string(wanted.length) +
                                       " tokens: the share of tokens that 90 % of each head's attention lies on (the "
                                       "last 64 queries, dense), and the "
                                       "share of the dense work that each method kept at a budget of " +
                                       frontier::budget_text(wanted.budget) +
                                       ". Methods that choose for groups of heads show KV heads; those that keep as "
                                       "much of every head are left out.");
}

int report(std::filesystem::path const& out, std::vector<frontier::Record> const& records, HeatMapOptions const& maps) {
  frontier::Grid const grid(records);
  frontier::write_table(std::cout, grid.rows());
  frontier::write_summary(out / "summary.csv", grid.rows());
  std::vector<std::string> const missing = frontier::write_page(out, records, heat_maps(maps));
  std::cout << "written: " << out.string() << "/{records.jsonl, summary.csv, report.html, figures/}\n";
  for (std::string const& name : missing)
    std::cerr << "frontier: gnuplot could not draw " << (out / "figures" / (name + ".gp")).string() << '\n';
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
  double const budget = frontier::parse_budget(wanted.budget).at(wanted.length);
  frontier::Kept const kept = frontier::kept_of(options.model, *task, sample, wanted.length, wanted.method, budget);
  frontier::write_kept(std::cout, kept);
  if (!wanted.picture.empty()) frontier::draw_kept(wanted.picture, kept);
  return 0;
}

}  // namespace

int main(int argument_count, char** arguments) {
  CLI::App app{"Sparse attention methods on long-context tasks"};
  app.require_subcommand(1);
  RunOptions runs;
  runs.add_to(*app.add_subcommand("run", "Take models through the tasks under every method"));
  CLI::App* const reports = app.add_subcommand("report", "Tables, figures and findings of the records of earlier runs");
  std::filesystem::path out = runs.settings.out;
  reports->add_option("--out", out, "folder with records.jsonl, for everything else too")->capture_default_str();
  LawOptions law;
  CLI::App* const laws = law.add_to(app);
  laws->add_option("--out", out, "folder with records.jsonl")->capture_default_str();
  HeatMapOptions maps;
  reports->add_option("--model", maps.model, "also show what its heads keep of a prompt of --task and --length");
  reports->add_option("--task", maps.task, "of that prompt")->capture_default_str();
  reports->add_option("--length", maps.length, "of that prompt")->capture_default_str();
  PromptOptions prompts;
  std::filesystem::path folder = "out/prompts";
  CLI::App const* const generates = add_generate(app, prompts, folder);
  ShowOptions wanted;
  CLI::App const* const shows = add_show(app, prompts, wanted);
  try {
    app.parse(argument_count, arguments);
    runs.finish();
    if (prompts.preparation.tasks == std::vector<std::string>{"all"}) prompts.preparation.tasks.clear();
    if (shows->parsed() && !wanted.method.empty()) prompts.form = "compact";
    if (generates->parsed() || shows->parsed()) prompts.finish();
    if (generates->parsed()) return generate(prompts.preparation, folder);
    if (shows->parsed()) return show(prompts, wanted);
    auto const known = [&] { return frontier::latest_of(frontier::read_records(out / "records.jsonl", std::cerr)); };
    if (laws->parsed()) return print_budget(frontier::Grid(known()), law);
    if (reports->parsed()) return report(out, known(), maps);
    auto const records = frontier::run(runs.settings, std::cerr, ::isatty(STDERR_FILENO) != 0);
    return runs.quiet ? 0 : report(runs.settings.out, records, {});
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
