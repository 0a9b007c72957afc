#include "frontier/job.hpp"

#include <chrono>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "transformer/generate.hpp"

namespace frontier {
namespace {

using Clock = std::chrono::steady_clock;

// Sequences that are continued side by side: enough for the weights to pass by once for many, few enough for their
// caches to fit into memory.
constexpr std::size_t kSideBySide = 16;
// A budget is met when it is off by no more than this, and solved again at most so often.
constexpr double kNear = 0.05;
constexpr int kTrials = 3;
// Beyond the answers, a second turn needs room for its question.
constexpr std::int64_t kTurnTokens = 512;

/// Throws std::runtime_error saying which method could not begin.
std::unique_ptr<MethodRun> started(lacuna::Cpu exec, Cell const& cell, Setup const& setup, Prompt const& prompt) {
  try {
    return cell.method().start(exec, setup, prompt);
  } catch (std::exception const& error) {
    throw std::runtime_error(cell.variant.name + " at budget " + budget_text(setup.budget) + ", length " +
                             std::to_string(setup.length) + ": " + error.what());
  }
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

char const* phase_of(Method const& method) {
  return !method.sparse ? "dense" : method.moment == lacuna::Moment::prefill ? "prefill" : "decode";
}

}  // namespace

RecordId Job::id(std::string const& configuration, Cell const& cell, int turn) const {
  double const budget = cell.method().sparse ? cell.budget.at(length) : 1.0;
  return {configuration, seed, task->name(),      length, sample.index,
          turns(),       turn, cell.variant.name, budget, prompt_fingerprint};
}

/// A sequence on its way through one cell.
struct Answerer::Sequence {
  Cell cell;
  Setup setup;
  std::unique_ptr<MethodRun> run;
  std::vector<float> logits;
  std::int64_t position = 0;
  double prefill_seconds = 0.0;
  double decode_seconds = 0.0;
};

Setup Answerer::setup_for(Job const& job, Cell const& cell) const {
  std::int64_t const later = job.turns() > 1 ? settings_.max_output_tokens + kTurnTokens : 0;
  return {&model_.config(),
          job.length,
          job.task->long_tail(),
          cell.method().sparse ? cell.budget.at(job.length) : 1.0,
          0,
          job.length + settings_.max_output_tokens + later,
          cell.variant.tuning};
}

Prompt Answerer::read_densely(lacuna::Cpu exec, Job const& job, std::vector<std::int32_t> const& tokens,
                              std::vector<float>& logits) const {
  Setup const setup = setup_for(job, {parse_variant("dense"), {}});
  Prompt prompt =
      std::make_shared<transformer::DenseAttention>(model_.config(), setup.capacity_tokens, queries_to_keep(setup));
  logits = model_.prefill(exec, tokens, *prompt);
  return prompt;
}

Sizes Answerer::calibrate(lacuna::Cpu exec, Job const& example, std::vector<Cell> const& cells) const {
  Sizes sizes;
  std::vector<float> logits;
  Prompt prompt;
  for (Cell const& cell : cells) {
    if (!cell.method().sizes_for || sizes.contains(cell.variant.name)) continue;
    if (!prompt) prompt = read_densely(exec, example, tokenizer_.encode(example.sample.prompt), logits);
    sizes[cell.variant.name] = solve(exec, example, cell, prompt, logits);
  }
  return sizes;
}

/// A dense prompt shows what a method would choose there, and that is not quite what it chooses when it runs: layers
/// see what earlier ones have left out, and every step has another query. So what is solved on the dense prompt is
/// tried, and solved again for a target that is off by as much.
std::vector<std::int64_t> Answerer::solve(lacuna::Cpu exec, Job const& example, Cell const& cell, Prompt const& prompt,
                                          std::vector<float> const& dense_logits) const {
  Method const& method = cell.method();
  Setup setup = setup_for(example, cell);
  std::vector<double> budgets;
  for (Budget const& budget : settings_.budgets) budgets.push_back(budget.at(example.length));
  std::vector<std::int64_t> best = method.sizes_for(exec, setup, budgets, *prompt);
  if (method.sizes_hold) return best;
  std::vector<std::int64_t> tried = best;
  std::vector<double> targets = budgets, nearest(budgets.size(), std::numeric_limits<double>::infinity());
  for (int trial = 0; trial < kTrials; ++trial) {
    for (std::size_t i = 0; i < budgets.size(); ++i) {
      if (nearest[i] <= kNear) continue;
      setup.budget = budgets[i];
      setup.size = tried[i];
      double const density = tried_density(exec, example, cell, setup, prompt, dense_logits);
      double const off = std::abs(density / budgets[i] - 1.0);
      if (off < nearest[i]) best[i] = tried[i], nearest[i] = off;
      targets[i] = std::clamp(targets[i] * budgets[i] / std::max(density, 1e-6), 1e-6, 1.0);
    }
    if (std::all_of(nearest.begin(), nearest.end(), [](double off) { return off <= kNear; })) break;
    std::vector<std::int64_t> const next = method.sizes_for(exec, setup, targets, *prompt);
    if (next == tried) break;
    tried = next;
  }
  return best;
}

/// What a size keeps of the example when it runs: of its prompt, or of the steps of its answer.
double Answerer::tried_density(lacuna::Cpu exec, Job const& example, Cell const& cell, Setup const& setup,
                               Prompt const& prompt, std::vector<float> const& dense_logits) const {
  std::vector<std::int32_t> const tokens = tokenizer_.encode(example.sample.prompt);
  std::unique_ptr<MethodRun> const run = started(exec, cell, setup, prompt);
  if (cell.method().reads_prompt()) {
    model_.prefill(exec, tokens, *run);
  } else {
    transformer::Read read{dense_logits, static_cast<std::int64_t>(tokens.size()), run.get()};
    transformer::continue_greedily(model_, exec, {std::move(read)}, settings_.max_output_tokens);
  }
  return run->density();
}

Answerer::Sequence Answerer::start(lacuna::Cpu exec, Job const& job, Cell const& cell, Sizes const& sizes,
                                   Prompt const& prompt) const {
  Sequence sequence{cell, setup_for(job, cell), nullptr, {}, 0, 0.0, 0.0};
  if (cell.method().sizes_for) {
    auto const& budgets = settings_.budgets;
    auto const at = std::find(budgets.begin(), budgets.end(), cell.budget) - budgets.begin();
    sequence.setup.size = sizes.at(cell.variant.name)[static_cast<std::size_t>(at)];
  }
  sequence.run = started(exec, cell, sequence.setup, prompt);
  return sequence;
}

void Answerer::answer(lacuna::Cpu exec, Job const& job, Sizes const& sizes,
                      std::function<void(std::vector<Record>)> const& take) const {
  std::vector<std::int32_t> const tokens = tokenizer_.encode(job.sample.prompt);
  Prompt prompt;
  std::vector<float> dense_logits;
  double dense_seconds = 0.0;
  if (std::any_of(job.pending.begin(), job.pending.end(), [](Cell const& c) { return !c.method().reads_prompt(); })) {
    auto const begin = Clock::now();
    prompt = read_densely(exec, job, tokens, dense_logits);
    dense_seconds = seconds_since(begin);
  }
  std::vector<Sequence> group;
  // The dense sequence goes on in the shared prompt, so it comes last.
  std::vector<Cell> cells = job.pending;
  std::stable_partition(cells.begin(), cells.end(), [](Cell const& cell) { return cell.method().sparse; });
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (!cells[i].method().sparse && !group.empty()) take(answer_group(exec, job, std::exchange(group, {})));
    auto const begin = Clock::now();
    Sequence sequence = start(exec, job, cells[i], sizes, prompt);
    bool const reads = cells[i].method().reads_prompt();
    sequence.logits = reads ? model_.prefill(exec, tokens, *sequence.run) : dense_logits;
    sequence.position = static_cast<std::int64_t>(tokens.size());
    sequence.prefill_seconds = seconds_since(begin) + (reads ? 0.0 : dense_seconds);
    group.push_back(std::move(sequence));
    if (group.size() == kSideBySide || i + 1 == cells.size()) take(answer_group(exec, job, std::exchange(group, {})));
  }
}

std::vector<Record> Answerer::answer_group(lacuna::Cpu exec, Job const& job, std::vector<Sequence> sequences) const {
  std::vector<Record> records;
  for (int turn = 1; turn <= job.turns(); ++turn) {
    std::vector<transformer::Read> reads;
    for (Sequence& sequence : sequences) reads.push_back({sequence.logits, sequence.position, sequence.run.get()});
    std::vector<double> steps_before;
    for (Sequence const& sequence : sequences) steps_before.push_back(sequence.run->step_seconds());
    auto const begin = Clock::now();
    auto const outputs = transformer::continue_greedily(model_, exec, std::move(reads), settings_.max_output_tokens);
    // All sequences take their steps together: what is not attention belongs to each in proportion to its tokens.
    double shared_seconds = seconds_since(begin);
    std::size_t all_tokens = 0;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      shared_seconds -= (sequences[i].run->step_seconds() - steps_before[i]) / exec.workers;
      all_tokens += outputs[i].size();
    }
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      double const share =
          static_cast<double>(outputs[i].size()) / static_cast<double>(std::max<std::size_t>(all_tokens, 1));
      double const attending = sequences[i].run->step_seconds() - steps_before[i];
      sequences[i].decode_seconds = attending + std::max(shared_seconds, 0.0) * share;
      records.push_back(make_record(job, sequences[i], turn, outputs[i]));
      records.back().attend_seconds = attending;
    }
    if (turn < job.turns()) ask_again(exec, job, outputs, sequences);
  }
  return records;
}

/// The end of the answer and the next question, token by token. What a sequence wrote it has read already, but for the
/// token at which it had to stop.
void Answerer::ask_again(lacuna::Cpu exec, Job const& job, std::vector<std::vector<std::int32_t>> const& outputs,
                         std::vector<Sequence>& sequences) const {
  std::vector<std::int32_t> const question = tokenizer_.encode("<eos>" + job.sample.more.front().text);
  std::vector<std::vector<std::int32_t>> unread(sequences.size(), question);
  std::size_t longest = 0;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    bool const stopped = static_cast<std::int64_t>(outputs[i].size()) == settings_.max_output_tokens;
    if (stopped) unread[i].insert(unread[i].begin(), outputs[i].back());
    sequences[i].position += static_cast<std::int64_t>(outputs[i].size()) - (stopped ? 1 : 0);
    longest = std::max(longest, unread[i].size());
  }
  if (static_cast<std::int64_t>(longest) > kTurnTokens)
    throw std::runtime_error("a second question has " + std::to_string(longest) + " tokens, more than " +
                             std::to_string(kTurnTokens));
  for (std::size_t at = 0; at < longest; ++at) {
    std::vector<transformer::Continuation> next;
    std::vector<std::size_t> whose;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      if (at >= unread[i].size()) continue;
      next.push_back({unread[i][at], sequences[i].position++, sequences[i].run.get()});
      whose.push_back(i);
    }
    std::vector<std::vector<float>> logits = model_.step(exec, next);
    for (std::size_t k = 0; k < whose.size(); ++k) sequences[whose[k]].logits = std::move(logits[k]);
  }
}

Record Answerer::make_record(Job const& job, Sequence const& sequence, int turn,
                             std::vector<std::int32_t> const& output) const {
  Method const& method = sequence.cell.method();
  Record record;
  record.id = job.id(configuration_, sequence.cell, turn);
  record.model = model_name_;
  record.parameters = model_.parameters();
  record.dims = dims_of(model_.config());
  record.form = settings_.form == Form::compact ? "compact" : "natural";
  record.phase = phase_of(method);
  record.arguments = method.describe(sequence.setup);
  record.prompt_tokens = job.sample.prompt_tokens;
  record.density = sequence.run->density();
  record.cost = cost_of(record.dims, method.moment, method.estimator, cost_inputs(sequence.setup), record.prompt_tokens,
                        record.density, method.kv_bytes);
  record.prefill_seconds = sequence.prefill_seconds;
  record.decode_seconds = sequence.decode_seconds;
  record.peak_bytes = static_cast<std::int64_t>(sequence.run->peak_bytes());
  record.output_tokens = static_cast<std::int64_t>(output.size());
  record.output = tokenizer_.decode(output);
  Sample asked = job.sample;
  if (turn > 1) asked.gold = job.sample.more.front().gold;
  record.gold = asked.gold;
  Score const score = job.task->score(asked, record.output);
  record.strict = score.strict;
  record.compat = score.compat;
  record.compat_dropped = score.compat_dropped;
  record.unparsed = score.unparsed;
  return record;
}

}  // namespace frontier
