// Writes the results of record: one CSV row per case and arm, dense beside every method.
//   lacuna_record TOKENS_PREFILL TOKENS_DECODE REPEATS WORKERS HEADS_Q HEADS_KV [ARM] > bench/results/<machine>.csv
// Both TOKENS are lists, such as 2048,8192. From the rows come constants of cost/time_model.hpp and where dense wins,
// to standard error; two lengths and more tell fixed times. bench/fit_time_model.cpp finds the same from rows in a
// file. Of arms whose "phase dtype arm" does not hold ARM nothing is run. The arms take turns, and each row is the
// fastest of its turns. One worker: the processor time that it took, because a busy machine shares its cores but not
// this clock. More: the time on the wall. The arm `read` is a plain loop over as many bytes as the cache of a decoding
// step holds: what the machine can read at all, at that moment.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "support/random_problem.hpp"
#include "support/time_models.hpp"

namespace {

using namespace lacuna;

ThreadPool* crew = nullptr;
int workers = 1;

double seconds() {
  std::timespec now{};
  clock_gettime(workers == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Row {
  std::string phase, name, arm, dtype;
  Shape shape;
  std::size_t element_bytes = 0;
  double density = 1.0, select = 1e9, attend = 1e9;
  std::function<void(Row&)> turn{};
};

template <class M, Storage T>
Row row_of(std::string const& phase, std::string const& arm, std::string const& dtype, M method, Shape const& shape,
           std::shared_ptr<bench::RandomProblem<T>> random) {
  struct State {
    M method;
    std::shared_ptr<bench::RandomProblem<T>> random;
    Plan plan;
    bench::Buffer index_memory, memory;
    typename M::Index index;
  };
  auto const state = std::make_shared<State>();
  auto const plan = method.plan(crew->exec(), shape);
  if (!plan) std::fprintf(stderr, "%s: %s\n", arm.c_str(), plan.status().message), std::exit(1);
  state->method = method;
  state->random = std::move(random);
  state->plan = *plan;
  state->index_memory = bench::allocate(plan->index_bytes);
  state->memory = bench::allocate(plan->workspace_bytes);
  Workspace for_index(state->index_memory.data(), plan->index_bytes);
  state->index = method.make_index(shape, for_index);
  Row row{phase, phase + "-" + std::to_string(shape.len_k), arm, dtype, shape, sizeof(T)};
  row.turn = [state](Row& r) {
    Workspace const workspace(state->memory.data(), state->plan.workspace_bytes);
    Problem<T> const problem = state->random->problem();
    double const begin = seconds();
    if (Status s = state->method.select(crew->exec(), problem, workspace, state->index); !s)
      std::fprintf(stderr, "%s: %s\n", r.arm.c_str(), s.message), std::exit(1);
    double const selected = seconds();
    if (Status s = attend(crew->exec(), problem, state->index, workspace, state->random->out()); !s)
      std::fprintf(stderr, "%s: %s\n", r.arm.c_str(), s.message), std::exit(1);
    double const end = seconds();
    r.select = std::min(r.select, selected - begin);
    r.attend = std::min(r.attend, end - selected);
    r.density = density(state->index);
  };
  return row;
}

std::string machine() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown";
}

template <class M>
M with_share(double share) {
  M method;
  method.budget.share = share;
  return method;
}

/// Sums what it reads, so that nobody leaves the reading out.
std::uint64_t read_all(std::vector<std::uint64_t> const& words) {
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(workers) * 8);
  crew->exec().each(workers, [&](std::int64_t item, int) {
    std::size_t const share = words.size() / static_cast<std::size_t>(workers) / 64 * 64;
    std::uint64_t const* const first = words.data() + static_cast<std::size_t>(item) * share;
    std::uint64_t lanes[64] = {};
    for (std::size_t i = 0; i < share; i += 64)
      for (std::size_t lane = 0; lane < 64; ++lane) lanes[lane] += first[i + lane];
    sums[static_cast<std::size_t>(item) * 8] = std::accumulate(lanes, lanes + 64, std::uint64_t{0});
  });
  return std::accumulate(sums.begin(), sums.end(), std::uint64_t{0});
}

Row read_row(Shape const& shape, std::string const& dtype, std::size_t element_bytes) {
  std::size_t const bytes = 2 * static_cast<std::size_t>(shape.len_k * shape.heads_kv * shape.dim) * element_bytes;
  auto const words = std::make_shared<std::vector<std::uint64_t>>(bytes / sizeof(std::uint64_t), 1);
  Row row{"decode", "decode-" + std::to_string(shape.len_k), "read", dtype, shape, element_bytes};
  row.select = 0.0;
  row.turn = [words](Row& r) {
    double const begin = seconds();
    if (read_all(*words) == 0) std::exit(1);
    r.attend = std::min(r.attend, seconds() - begin);
  };
  return row;
}

template <Storage T>
void add_prefill(std::vector<Row>& rows, std::string const& dtype, Shape shape, std::int64_t tokens) {
  shape.len_q = shape.len_k = tokens;
  auto const random = std::make_shared<bench::RandomProblem<T>>(shape);
  rows.push_back(row_of<Dense, T>("prefill", "dense", dtype, {}, shape, random));
  using Slashes = VerticalSlashOf<64, Ratio>;
  rows.push_back(
      row_of<Slashes, T>("prefill", "ours-vertical-slash", dtype, with_share<Slashes>(0.002), shape, random));
  rows.push_back(
      row_of<Slashes, T>("prefill", "ours-vertical-slash-more", dtype, with_share<Slashes>(0.012), shape, random));
  using Wide = BlockSparseOf<128, Ratio>;
  rows.push_back(row_of<Wide, T>("prefill", "ours-block-sparse-128", dtype, with_share<Wide>(0.1), shape, random));
  using Middle = BlockSparseOf<64, Ratio>;
  rows.push_back(row_of<Middle, T>("prefill", "ours-block-sparse-64", dtype, with_share<Middle>(0.1), shape, random));
  using Fine = BlockSparseOf<16, Ratio>;
  rows.push_back(row_of<Fine, T>("prefill", "ours-block-sparse-16", dtype, with_share<Fine>(0.1), shape, random));
  XAttention antidiagonals;
  antidiagonals.budget.share = 0.2;
  rows.push_back(row_of<XAttention, T>("prefill", "ours-x-attention", dtype, antidiagonals, shape, random));
  Streaming const band{.sink_tokens = 128, .window_tokens = tokens / 20};
  rows.push_back(row_of<Streaming, T>("prefill", "ours-streaming", dtype, band, shape, random));
}

template <Storage T>
void add_decode(std::vector<Row>& rows, std::string const& dtype, Shape shape, std::int64_t tokens) {
  shape.len_q = 1;
  shape.len_k = tokens;
  rows.push_back(read_row(shape, dtype, sizeof(T)));
  auto const random = std::make_shared<bench::RandomProblem<T>>(shape);
  rows.push_back(row_of<Dense, T>("decode", "dense", dtype, {}, shape, random));
  using Pages = QuestOf<16, Ratio>;
  rows.push_back(row_of<Pages, T>("decode", "ours-quest", dtype, with_share<Pages>(0.1), shape, random));
}

std::vector<std::int64_t> list_of(char const* text) {
  std::vector<std::int64_t> numbers;
  for (char* rest = nullptr;; text = rest + 1) {
    numbers.push_back(std::strtoll(text, &rest, 10));
    if (*rest != ',') return numbers;
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 7 && count != 8)
    return std::fprintf(stderr,
                        "usage: lacuna_record TOKENS_PREFILL TOKENS_DECODE REPEATS WORKERS HEADS_Q HEADS_KV [ARM]\n"),
           1;
  workers = std::atoi(arguments[4]);
  ThreadPool pool(workers);
  crew = &pool;
  Shape const heads{0, 0, std::atoll(arguments[5]), std::atoll(arguments[6]), 128};
  std::vector<Row> rows;
  for (std::int64_t const tokens : list_of(arguments[1])) {
    add_prefill<float>(rows, "f32", heads, tokens);
    add_prefill<bfloat16>(rows, "bf16", heads, tokens);
  }
  for (std::int64_t const tokens : list_of(arguments[2])) {
    add_decode<float>(rows, "f32", heads, tokens);
    add_decode<bfloat16>(rows, "bf16", heads, tokens);
  }
  if (count == 8)
    std::erase_if(rows, [&](Row const& r) {
      return (r.phase + " " + r.dtype + " " + r.arm).find(arguments[7]) == std::string::npos;
    });
  for (int turn = 0; turn < std::atoi(arguments[3]); ++turn)
    for (Row& row : rows) row.turn(row);

  char date[16];
  std::time_t const now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));
  char const* const commit = std::getenv("LACUNA_COMMIT");
  std::puts(
      "date,commit,machine,phase,case,arm,batch,heads_q,heads_kv,dim,dtype,len,density,ms_select,ms_attend,ms_total,"
      "tflops,gbytes_per_s");
  std::string const name = machine() + ", " + std::to_string(workers) + (workers == 1 ? " thread" : " threads");
  std::vector<bench::TimedRow> timed;
  for (Row const& r : rows) {
    double const total = r.select + r.attend;
    double const flops = r.density * bench::causal_pairs(r.shape) * 4.0 * static_cast<double>(r.shape.dim);
    double const bytes = r.density * 2.0 * static_cast<double>(r.shape.len_k * r.shape.heads_kv * r.shape.dim) *
                         static_cast<double>(r.element_bytes);
    timed.push_back({name, r.dtype, r.arm, r.phase == "prefill" ? Phase::prefill : Phase::decode, r.shape, r.density,
                     r.select * 1e3, r.attend * 1e3});
    std::printf("%s,%s,\"%s\",%s,%s,%s,1,%lld,%lld,%lld,%s,%lld,%.4f,%.4f,%.4f,%.4f,%.4f,%.2f\n", date,
                commit == nullptr ? "" : commit, name.c_str(), r.phase.c_str(), r.name.c_str(), r.arm.c_str(),
                static_cast<long long>(r.shape.heads_q), static_cast<long long>(r.shape.heads_kv),
                static_cast<long long>(r.shape.dim), r.dtype.c_str(), static_cast<long long>(r.shape.len_k), r.density,
                r.select * 1e3, r.attend * 1e3, total * 1e3, flops / total * 1e-12,
                r.shape.len_q == 1 ? bytes / total * 1e-9 : 0.0);
  }
  bench::print_time_models(stderr, timed);
}
