#include "frontier/runner.hpp"

#include <atomic>
#include <exception>
#include <iterator>
#include <mutex>
#include <ostream>
#include <set>
#include <thread>
#include <tuple>

#include "frontier/chat.hpp"
#include "frontier/data/prepared.hpp"
#include "frontier/fingerprint.hpp"
#include "frontier/job.hpp"
#include "frontier/progress.hpp"

namespace frontier {
namespace {

// Goes up when the same model and prompt could give another record than before.
constexpr char kRecordsVersion[] = "3";

/// Each method at each budget; the baseline has none.
std::vector<Cell> chosen_cells(Settings const& settings) {
  std::vector<std::string> names = settings.methods;
  if (names.empty())
    for (Method const& method : all_methods()) names.push_back(method.name);
  std::vector<Cell> cells;
  for (std::string const& name : names) {
    try {
      Variant const variant = parse_variant(name);
      if (!variant.method->sparse) cells.push_back({variant, 1.0});
      if (!variant.method->sparse) continue;
      for (Budget const& budget : settings.budgets) cells.push_back({variant, budget});
    } catch (std::invalid_argument const& error) {
      throw UsageError(error.what());
    }
  }
  return cells;
}

std::vector<TaskPointer> chosen_tasks(Settings const& settings) {
  std::vector<std::string> names = settings.tasks;
  if (names.empty())
    for (Task const* task : all_tasks()) names.push_back(task->name());
  std::vector<TaskPointer> tasks;
  for (std::string const& name : names) {
    try {
      tasks.push_back(task_in_form(name, settings.form, settings.natural));
    } catch (std::invalid_argument const& error) {
      throw UsageError(error.what());
    }
  }
  return tasks;
}

/// Roughly proportional to the time it takes: reading prompts is most of it.
double prompt_work(double tokens) { return tokens * (1.0 + tokens / 4096.0); }

double calibration_work(double tokens, std::vector<Cell> const& cells) {
  std::set<std::string> searched;
  double trials = 0.0;
  for (Cell const& cell : cells) {
    if (!cell.method().sizes_for) continue;
    searched.insert(cell.variant.name);
    trials += cell.method().sizes_hold ? 0.0 : 1.0;
  }
  return prompt_work(tokens) * (1.0 + static_cast<double>(searched.size()) + trials);
}

double job_work(Job const& job) {
  auto const tokens = static_cast<double>(job.sample.prompt_tokens);
  std::size_t sparse_prompts = 0;
  for (Cell const& cell : job.pending) sparse_prompts += cell.method().reads_prompt() ? 1 : 0;
  double const work = prompt_work(tokens) * 0.7 * static_cast<double>(sparse_prompts) +
                      0.05 * tokens * static_cast<double>(job.pending.size() * static_cast<std::size_t>(job.turns()));
  return sparse_prompts < job.pending.size() ? work + prompt_work(tokens) : work;
}

/// Calls f(i, exec) for i < count on several threads; what a thread has beyond that works within the calls. The first
/// exception stops the rest and is thrown here.
template <class F>
void share_out(int threads, std::size_t count, F const& f) {
  std::size_t const workers = std::min(static_cast<std::size_t>(threads), count);
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex guard;
  auto const work = [&] {
    lacuna::ThreadPool pool(static_cast<int>(static_cast<std::size_t>(threads) / workers));
    try {
      for (std::size_t i = next++; i < count; i = next++) f(i, pool.exec());
    } catch (...) {
      std::lock_guard const lock(guard);
      if (!failure) failure = std::current_exception();
      next = count;
    }
  };
  std::vector<std::thread> others;
  for (std::size_t worker = 1; worker < workers; ++worker) others.emplace_back(work);
  if (workers > 0) work();
  for (std::thread& other : others) other.join();
  if (failure) std::rethrow_exception(failure);
}

/// A model before and after its weights are needed.
struct Candidate {
  Candidate(std::filesystem::path const& from, Settings const& settings)
      : folder(from),
        name((from.has_filename() ? from : from.parent_path()).filename().string()),
        config(transformer::read_config(from / "config.json")),
        tokenizer(from / "tokenizer.json"),
        chat(tokenizer) {
    if (tokenizer.size() > config.vocab_size)
      throw std::runtime_error((from / "tokenizer.json").string() + ": has " + std::to_string(tokenizer.size()) +
                               " words, but the model's vocabulary has " + std::to_string(config.vocab_size));
    configuration = Fingerprint()
                        .add(kRecordsVersion)
                        .add(fingerprint_of_model(from))
                        .add(settings.form == Form::compact ? "compact" : "natural")
                        .add(std::to_string(settings.max_output_tokens))
                        .hex();
  }

  std::filesystem::path folder;
  std::string name;
  transformer::Config config;
  transformer::Tokenizer tokenizer;
  ChatTemplate chat;
  std::string configuration;
  std::vector<Job> jobs;  // all of them, those without anything pending included
};

class Run {
 public:
  Run(Settings const& settings, std::ostream& messages, bool terminal)
      : settings_(settings),
        messages_(messages),
        terminal_(terminal),
        cells_(chosen_cells(settings)),
        tasks_(chosen_tasks(settings)),
        threads_(settings.threads > 0 ? settings.threads
                                      : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()))) {
    for (std::filesystem::path const& folder : settings.models) candidates_.emplace_back(folder, settings);
    std::set<std::string> names;
    for (Candidate& candidate : candidates_) {
      if (!names.insert(candidate.name).second) throw UsageError("two models are named " + candidate.name);
      make_jobs(candidate);
    }
  }

  std::vector<Record> operator()() {
    std::error_code error;
    std::filesystem::create_directories(settings_.out, error);
    if (error) throw std::runtime_error(settings_.out.string() + ": cannot be made: " + error.message());
    std::set<std::string> configurations;
    for (Candidate const& candidate : candidates_) configurations.insert(candidate.configuration);
    RecordFile records(settings_.out / "records.jsonl", configurations, settings_.fresh, messages_);

    std::vector<std::vector<Job>> pending;
    double work = 0.0;
    for (Candidate const& candidate : candidates_) {
      pending.push_back(pending_jobs(candidate, records));
      for (Job const& job : pending.back()) work += job_work(job);
      for (Job const* example : examples(candidate, pending.back()))
        work += calibration_work(static_cast<double>(example->sample.prompt_tokens), cells_);
    }
    {
      Progress progress(work, messages_, terminal_);
      for (std::size_t i = 0; i < candidates_.size(); ++i) run_model(candidates_[i], pending[i], records, progress);
    }
    std::vector<Record> result;
    for (Candidate const& candidate : candidates_)
      for (Job const& job : candidate.jobs)
        for (int turn = 1; turn <= job.turns(); ++turn)
          for (Cell const& cell : cells_) result.push_back(*records.find(job.id(candidate.configuration, cell, turn)));
    return result;
  }

 private:
  void make_jobs(Candidate& candidate) const {
    for (std::size_t l = 0; l < settings_.lengths.size(); ++l) {
      std::int64_t const length = settings_.lengths[l];
      if (length + settings_.turns * settings_.max_output_tokens > candidate.config.max_positions)
        throw UsageError("a prompt of " + std::to_string(length) + " and an answer of " +
                         std::to_string(settings_.max_output_tokens) + " tokens do not fit the model's " +
                         std::to_string(candidate.config.max_positions) + " positions");
      std::int64_t const samples = settings_.samples[std::min(l, settings_.samples.size() - 1)];
      for (TaskPointer const& task : tasks_)
        for (std::uint64_t seed : settings_.seeds)
          for (std::int64_t index = 0; index < samples; ++index)
            candidate.jobs.push_back(make_job(candidate, task, length, seed, index));
    }
  }

  Job make_job(Candidate const& candidate, TaskPointer const& task, std::int64_t length, std::uint64_t seed,
               std::int64_t index) const {
    auto const count = [&](std::string_view text) {
      return static_cast<std::int64_t>(candidate.tokenizer.encode(text).size());
    };
    Request request{seed, index, length, count};
    request.turns = settings_.turns;
    request.max_output_tokens = settings_.max_output_tokens;
    request.min_fill = settings_.min_fill;
    request.count_turn = [&](std::string_view text) { return count(candidate.chat(text)); };
    try {
      Sample sample = task->generate(request);
      if (settings_.form == Form::natural) sample.prompt = candidate.chat(sample.prompt);
      std::string fingerprint = Fingerprint().add(sample.prompt).hex();
      return {task, length, seed, std::move(sample), std::move(fingerprint), cells_};
    } catch (std::invalid_argument const& error) {
      throw UsageError("task " + task->name() + ", length " + std::to_string(length) + ": " + error.what());
    }
  }

  std::vector<Job> pending_jobs(Candidate const& candidate, RecordFile const& records) const {
    std::vector<Job> pending;
    for (Job job : candidate.jobs) {
      // The last turn's record is written together with the first one's.
      std::erase_if(job.pending, [&](Cell const& cell) {
        return records.find(job.id(candidate.configuration, cell, 1)) != nullptr &&
               records.find(job.id(candidate.configuration, cell, job.turns())) != nullptr;
      });
      if (!job.pending.empty()) pending.push_back(std::move(job));
    }
    return pending;
  }

  /// The first prompt of every task and length that still has methods to be calibrated.
  std::vector<Job const*> examples(Candidate const& candidate, std::vector<Job> const& pending) const {
    std::set<std::tuple<std::string, std::int64_t>> wanted;
    for (Job const& job : pending)
      for (Cell const& cell : job.pending)
        if (cell.method().sizes_for) wanted.insert({job.task->name(), job.length});
    std::vector<Job const*> found;
    for (Job const& job : candidate.jobs)
      if (job.sample.index == 0 && job.seed == settings_.seeds.front() &&
          wanted.contains({job.task->name(), job.length}))
        found.push_back(&job);
    return found;
  }

  void run_model(Candidate const& candidate, std::vector<Job> const& pending, RecordFile& records,
                 Progress& progress) const {
    if (pending.empty()) return;
    transformer::Model const model(candidate.folder);
    Answerer const answerer(candidate.configuration, settings_, model, candidate.tokenizer, candidate.name);
    std::mutex guard;
    std::map<std::tuple<std::string, std::int64_t>, Sizes> sizes;
    std::vector<Job const*> const to_calibrate = examples(candidate, pending);
    share_out(threads_, to_calibrate.size(), [&](std::size_t i, lacuna::Cpu exec) {
      Job const& example = *to_calibrate[i];
      Sizes found = answerer.calibrate(exec, example, cells_);
      std::lock_guard const lock(guard);
      sizes[{example.task->name(), example.length}] = std::move(found);
      progress.advance(calibration_work(static_cast<double>(example.sample.prompt_tokens), cells_),
                       candidate.name + ": budgets of " + example.task->name() + " " + std::to_string(example.length));
    });
    share_out(threads_, pending.size(), [&](std::size_t i, lacuna::Cpu exec) {
      Job const& job = pending[i];
      Sizes known;
      {
        std::lock_guard const lock(guard);
        known = sizes[{job.task->name(), job.length}];
      }
      answerer.answer(exec, job, known, [&](std::vector<Record> made) {
        std::lock_guard const lock(guard);
        for (Record& record : made) records.append(std::move(record));
      });
      std::lock_guard const lock(guard);
      records.sync();
      progress.advance(job_work(job), candidate.name + ": " + job.task->name() + " " + std::to_string(job.length));
    });
  }

  Settings const& settings_;
  std::ostream& messages_;
  bool terminal_;
  std::vector<Cell> cells_;
  std::vector<TaskPointer> tasks_;
  int threads_;
  std::deque<Candidate> candidates_;  // a deque: they stay where they are
};

}  // namespace

std::vector<Record> run(Settings const& settings, std::ostream& messages, bool terminal) {
  check(settings);
  return Run(settings, messages, terminal)();
}

}  // namespace frontier
