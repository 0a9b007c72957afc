#include "frontier/runner.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <ostream>
#include <thread>
#include <tuple>
#include <utility>

#include "frontier/fingerprint.hpp"
#include "frontier/methods.hpp"
#include "frontier/progress.hpp"
#include "frontier/tasks/task.hpp"
#include "transformer/generate.hpp"
#include "transformer/tokenizer.hpp"

namespace frontier {
namespace {

// Goes up when the same model and prompt could give another record than before.
constexpr char kRecordsVersion[] = "1";

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Cell {
  Method const* method;
  double budget;
};

/// One prompt and what is still to be asked of it.
struct Job {
  Task const* task;
  std::int64_t length;
  Sample sample;
  std::string prompt_fingerprint;
  std::vector<Cell> pending;

  RecordId id(Cell const& cell) const {
    return {task->name(), length, sample.index, cell.method->name, cell.budget, prompt_fingerprint};
  }
  /// Roughly proportional to the time it takes: reading a prompt is most of it.
  double work() const {
    auto const tokens = static_cast<double>(sample.prompt_tokens);
    double const prompt = tokens * (1.0 + tokens / 4096.0);
    auto const sparse_prompts =
        std::count_if(pending.begin(), pending.end(), [](Cell const& cell) { return cell.method->reads_prompt(); });
    double const work =
        prompt * 0.7 * static_cast<double>(sparse_prompts) + 0.05 * tokens * static_cast<double>(pending.size());
    return sparse_prompts < static_cast<std::ptrdiff_t>(pending.size()) ? work + prompt : work;
  }
};

/// A sequence on its way through one cell.
struct Sequence {
  Cell cell;
  Setup setup;
  std::unique_ptr<MethodRun> run;
  std::vector<float> logits;
  double prefill_seconds = 0.0;
};

class Runner {
 public:
  Runner(Settings const& settings, std::vector<Task const*> tasks, std::vector<Cell> cells)
      : settings_(settings),
        tasks_(std::move(tasks)),
        cells_(std::move(cells)),
        tokenizer_(settings.model / "tokenizer.json"),
        model_(settings.model),
        pool_(settings.threads > 0 ? settings.threads
                                   : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()))) {
    if (tokenizer_.size() > model_.config().vocab_size)
      throw std::runtime_error((settings.model / "tokenizer.json").string() + ": has " +
                               std::to_string(tokenizer_.size()) + " words, but the model's vocabulary has " +
                               std::to_string(model_.config().vocab_size));
  }

  Evaluation run(std::ostream& messages, bool terminal) {
    std::vector<Job> jobs = make_jobs();
    RecordFile records = open_records(messages);
    double work = 0.0;
    for (Job& job : jobs) {
      std::erase_if(job.pending, [&](Cell const& cell) { return records.find(job.id(cell)) != nullptr; });
      if (!job.pending.empty()) work += job.work();
    }
    {
      Progress progress(work, messages, terminal);
      for (Job const& job : jobs) {
        if (job.pending.empty()) continue;
        for (Record& record : answer(job)) records.append(std::move(record));
        records.sync();
        progress.advance(job.work(), job.task->name() + " " + std::to_string(job.length));
      }
    }
    Evaluation result{{}, model_.parameters()};
    for (Job const& job : jobs)
      for (Cell const& cell : cells_) result.records.push_back(*records.find(job.id(cell)));
    return result;
  }

 private:
  RecordFile open_records(std::ostream& messages) const {
    std::error_code error;
    std::filesystem::create_directories(settings_.out, error);
    if (error) throw std::runtime_error(settings_.out.string() + ": cannot be made: " + error.message());
    std::string const configuration = Fingerprint()
                                          .add(kRecordsVersion)
                                          .add(fingerprint_of_model(settings_.model))
                                          .add(std::to_string(settings_.seed))
                                          .add(std::to_string(settings_.max_output_tokens))
                                          .hex();
    return {settings_.out / "records.jsonl", configuration, settings_.fresh, messages};
  }

  Sample make_sample(Task const& task, std::int64_t length, std::int64_t index) const {
    auto const count = [this](std::string_view text) {
      return static_cast<std::int64_t>(tokenizer_.encode(text).size());
    };
    return task.generate({settings_.seed, index, length, count});
  }

  std::vector<Job> make_jobs() const {
    std::vector<Job> jobs;
    for (std::size_t l = 0; l < settings_.lengths.size(); ++l) {
      std::int64_t const length = settings_.lengths[l];
      if (length + settings_.max_output_tokens > model_.config().max_positions)
        throw UsageError("a prompt of " + std::to_string(length) + " and an answer of " +
                         std::to_string(settings_.max_output_tokens) + " tokens do not fit the model's " +
                         std::to_string(model_.config().max_positions) + " positions");
      for (Task const* task : tasks_) {
        for (std::int64_t index = 0; index < settings_.samples[std::min(l, settings_.samples.size() - 1)]; ++index) {
          try {
            Sample sample = make_sample(*task, length, index);
            std::string const fingerprint = Fingerprint().add(sample.prompt).hex();
            jobs.push_back({task, length, std::move(sample), fingerprint, cells_});
          } catch (std::invalid_argument const& error) {
            throw UsageError("task " + task->name() + ", length " + std::to_string(length) + ": " + error.what());
          }
        }
      }
    }
    return jobs;
  }

  Setup setup_for(Job const& job, Cell const& cell) {
    return {&model_.config(), job.length, job.task->long_tail(),
            cell.budget,      0,          job.length + settings_.max_output_tokens};
  }

  Prompt empty_prompt(Job const& job) {
    Setup const setup = setup_for(job, {nullptr, 1.0});
    return std::make_shared<transformer::DenseAttention>(model_.config(), setup.capacity_tokens,
                                                         queries_to_keep(setup));
  }

  /// The methods' sizes for this task and length, measured once, on its first sample.
  std::vector<std::int64_t> const& sizes_for(Job const& job, Method const& method, Prompt const& prompt) {
    auto const key = std::tuple(job.task, job.length, &method);
    auto const known = sizes_.find(key);
    if (known != sizes_.end()) return known->second;
    Prompt example = prompt;
    if (job.sample.index != 0 || !example) {
      example = empty_prompt(job);
      model_.prefill(pool_.exec(), tokenizer_.encode(make_sample(*job.task, job.length, 0).prompt), *example);
    }
    return sizes_[key] = method.sizes_for(pool_.exec(), setup_for(job, {&method, 1.0}), settings_.budgets, *example);
  }

  Sequence start(Job const& job, Cell const& cell, Prompt const& prompt) {
    Sequence sequence{cell, setup_for(job, cell), nullptr, {}, 0.0};
    if (cell.method->sizes_for) {
      auto const at =
          std::find(settings_.budgets.begin(), settings_.budgets.end(), cell.budget) - settings_.budgets.begin();
      sequence.setup.size = sizes_for(job, *cell.method, prompt)[static_cast<std::size_t>(at)];
    }
    try {
      sequence.run = cell.method->start(pool_.exec(), sequence.setup, prompt);
    } catch (std::runtime_error const& error) {
      throw std::runtime_error(cell.method->name + " at budget " + budget_text(cell.budget) + ", length " +
                               std::to_string(job.length) + ": " + error.what());
    }
    return sequence;
  }

  std::vector<Sequence> read_prompt(Job const& job, std::vector<std::int32_t> const& tokens) {
    Prompt prompt;
    std::vector<float> dense_logits;
    double dense_seconds = 0.0;
    bool const calibrates = job.sample.index == 0;
    auto const shares_prompt = [](Cell const& cell) { return !cell.method->reads_prompt(); };
    if (calibrates || std::any_of(job.pending.begin(), job.pending.end(), shares_prompt)) {
      auto const begin = std::chrono::steady_clock::now();
      prompt = empty_prompt(job);
      dense_logits = model_.prefill(pool_.exec(), tokens, *prompt);
      dense_seconds = seconds_since(begin);
    }
    std::vector<Sequence> sequences;
    for (Cell const& cell : job.pending) {
      if (cell.method->sizes_for) sizes_for(job, *cell.method, prompt);  // not part of anybody's time
      auto const begin = std::chrono::steady_clock::now();
      Sequence sequence = start(job, cell, prompt);
      bool const reads = cell.method->reads_prompt();
      sequence.logits = reads ? model_.prefill(pool_.exec(), tokens, *sequence.run) : dense_logits;
      sequence.prefill_seconds = seconds_since(begin) + (reads ? 0.0 : dense_seconds);
      sequences.push_back(std::move(sequence));
    }
    return sequences;
  }

  std::vector<Record> answer(Job const& job) {
    std::vector<std::int32_t> const tokens = tokenizer_.encode(job.sample.prompt);
    std::vector<Sequence> sequences = read_prompt(job, tokens);
    std::vector<transformer::Read> reads;
    for (Sequence& sequence : sequences)
      reads.push_back({std::move(sequence.logits), static_cast<std::int64_t>(tokens.size()), sequence.run.get()});
    auto const begin = std::chrono::steady_clock::now();
    std::vector<std::vector<std::int32_t>> const outputs =
        transformer::continue_greedily(model_, pool_.exec(), std::move(reads), settings_.max_output_tokens);
    // All sequences take their steps together: what is not attention belongs to each in proportion to its tokens.
    double shared_seconds = seconds_since(begin);
    std::size_t all_tokens = 0;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      shared_seconds -= sequences[i].run->step_seconds() / pool_.exec().workers;
      all_tokens += outputs[i].size();
    }
    std::vector<Record> records;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      double const share =
          static_cast<double>(outputs[i].size()) / static_cast<double>(std::max<std::size_t>(all_tokens, 1));
      Record record = make_record(job, sequences[i], outputs[i]);
      record.prompt_tokens = static_cast<std::int64_t>(tokens.size());
      record.decode_seconds = sequences[i].run->step_seconds() + std::max(shared_seconds, 0.0) * share;
      records.push_back(std::move(record));
    }
    return records;
  }

  Record make_record(Job const& job, Sequence const& sequence, std::vector<std::int32_t> const& output) const {
    Record record;
    record.id = job.id(sequence.cell);
    record.arguments = sequence.cell.method->describe(sequence.setup);
    record.density = sequence.run->density();
    record.prefill_seconds = sequence.prefill_seconds;
    record.output_tokens = static_cast<std::int64_t>(output.size());
    record.output = tokenizer_.decode(output);
    record.gold = job.sample.gold;
    Score const score = job.task->score(job.sample, record.output);
    record.strict = score.strict;
    record.compat = score.compat;
    record.compat_dropped = score.compat_dropped;
    record.unparsed = score.unparsed;
    return record;
  }

  Settings settings_;
  std::vector<Task const*> tasks_;
  std::vector<Cell> cells_;
  transformer::Tokenizer tokenizer_;
  transformer::Model model_;
  lacuna::ThreadPool pool_;
  std::map<std::tuple<Task const*, std::int64_t, Method const*>, std::vector<std::int64_t>> sizes_;
};

template <class All, class NameOf>
std::string known_names(All const& all, NameOf&& name_of) {
  std::string names;
  for (auto const& one : all) names += (names.empty() ? "" : ", ") + name_of(one);
  return names;
}

std::vector<Task const*> chosen_tasks(std::vector<std::string> const& names) {
  std::vector<Task const*> tasks;
  for (std::string const& name : names) {
    Task const* const task = find_task(name);
    if (task == nullptr)
      throw UsageError("there is no task '" + name + "'; there are " +
                       known_names(all_tasks(), [](Task const* t) { return t->name(); }));
    tasks.push_back(task);
  }
  return names.empty() ? all_tasks() : tasks;
}

/// Each method at each budget; the baseline has none.
std::vector<Cell> chosen_cells(std::vector<std::string> const& names, std::vector<double> const& budgets) {
  std::vector<Method const*> methods;
  for (std::string const& name : names) {
    methods.push_back(find_method(name));
    if (methods.back() == nullptr)
      throw UsageError("there is no method '" + name + "'; there are " +
                       known_names(all_methods(), [](Method const& m) { return m.name; }));
  }
  if (names.empty())
    for (Method const& method : all_methods()) methods.push_back(&method);
  std::vector<Cell> cells;
  for (Method const* method : methods)
    for (double budget : method->sparse ? budgets : std::vector{1.0}) cells.push_back({method, budget});
  return cells;
}

template <class Value>
void refuse_repeats(std::vector<Value> values, char const* what) {
  std::sort(values.begin(), values.end());
  if (std::adjacent_find(values.begin(), values.end()) != values.end())
    throw UsageError(std::string("one of the ") + what + " is named twice");
}

void check(Settings const& settings) {
  refuse_repeats(settings.tasks, "tasks");
  refuse_repeats(settings.methods, "methods");
  refuse_repeats(settings.lengths, "lengths");
  refuse_repeats(settings.budgets, "budgets");
  for (double budget : settings.budgets)
    if (!(budget > 0.0 && budget <= 1.0))
      throw UsageError("a budget must lie in (0, 1], not be " + std::to_string(budget));
  for (std::int64_t length : settings.lengths)
    if (length < 1) throw UsageError("a length must be at least 1, not " + std::to_string(length));
  for (std::int64_t samples : settings.samples)
    if (samples < 1) throw UsageError("samples must be at least 1, not " + std::to_string(samples));
  if (settings.budgets.empty() || settings.lengths.empty())
    throw UsageError("at least one budget and one length are needed");
  if (settings.samples.size() != 1 && settings.samples.size() != settings.lengths.size())
    throw UsageError("give one number of samples for all lengths, or one for each");
  if (settings.max_output_tokens < 1) throw UsageError("at least one output token is needed");
  if (settings.threads < 0) throw UsageError("threads must not be negative");
}

}  // namespace

double parse_budget(std::string const& text) {
  double numerator = 0.0;
  double denominator = 1.0;
  int used = 0;
  bool const fraction = std::sscanf(text.c_str(), "%lf/%lf%n", &numerator, &denominator, &used) == 2;
  if (!fraction && std::sscanf(text.c_str(), "%lf%n", &numerator, &used) != 1) used = -1;
  double const budget = numerator / denominator;
  if (used != static_cast<int>(text.size()) || !(budget > 0.0 && budget <= 1.0))
    throw UsageError("a budget must lie in (0, 1], like 1/20 or 0.05, not be '" + text + "'");
  return budget;
}

std::string budget_text(double budget) {
  double const inverse = std::round(1.0 / budget);
  std::array<char, 32> text{};
  if (budget == 1.0) return "1";
  if (std::abs(inverse * budget - 1.0) < 1e-9)
    std::snprintf(text.data(), text.size(), "1/%.0f", inverse);
  else
    std::snprintf(text.data(), text.size(), "%.4g", budget);
  return text.data();
}

Evaluation run(Settings const& settings, std::ostream& messages, bool terminal) {
  check(settings);
  std::vector<Task const*> tasks = chosen_tasks(settings.tasks);
  std::vector<Cell> cells = chosen_cells(settings.methods, settings.budgets);
  return Runner(settings, std::move(tasks), std::move(cells)).run(messages, terminal);
}

}  // namespace frontier
