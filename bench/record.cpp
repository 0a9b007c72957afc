// Writes the results of record: one CSV row per case and arm, dense beside every method.
//   lacuna_record TOKENS_PREFILL TOKENS_DECODE REPEATS > bench/results/<machine>.csv
// One thread, and the processor time that it took, because a busy machine shares its cores but not this clock: the arms
// take turns, and each row is the fastest of its turns.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "lacuna/methods/block_sparse.hpp"
#include "support/random_problem.hpp"

namespace {

using namespace lacuna;

double seconds() {
  std::timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
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
  auto const plan = method.plan(Cpu{}, shape);
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
    if (Status s = state->method.select(Cpu{}, problem, workspace, state->index); !s)
      std::fprintf(stderr, "%s: %s\n", r.arm.c_str(), s.message), std::exit(1);
    double const selected = seconds();
    if (Status s = attend(Cpu{}, problem, state->index, workspace, state->random->out()); !s)
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

template <Storage T>
void add_prefill(std::vector<Row>& rows, std::string const& dtype, std::int64_t tokens) {
  Shape const shape{tokens, tokens, 4, 1, 128};
  auto const random = std::make_shared<bench::RandomProblem<T>>(shape);
  rows.push_back(row_of<Dense, T>("prefill", "dense", dtype, {}, shape, random));
  using Slashes = VerticalSlashOf<64, Ratio>;
  rows.push_back(
      row_of<Slashes, T>("prefill", "ours-vertical-slash", dtype, with_share<Slashes>(0.002), shape, random));
  using Wide = BlockSparseOf<128, Ratio>;
  rows.push_back(row_of<Wide, T>("prefill", "ours-block-sparse-128", dtype, with_share<Wide>(0.1), shape, random));
  using Middle = BlockSparseOf<64, Ratio>;
  rows.push_back(row_of<Middle, T>("prefill", "ours-block-sparse-64", dtype, with_share<Middle>(0.1), shape, random));
  using Fine = BlockSparseOf<16, Ratio>;
  rows.push_back(row_of<Fine, T>("prefill", "ours-block-sparse-16", dtype, with_share<Fine>(0.1), shape, random));
}

template <Storage T>
void add_decode(std::vector<Row>& rows, std::string const& dtype, std::int64_t tokens) {
  Shape const shape{1, tokens, 8, 2, 128};
  auto const random = std::make_shared<bench::RandomProblem<T>>(shape);
  rows.push_back(row_of<Dense, T>("decode", "dense", dtype, {}, shape, random));
  using Pages = QuestOf<16, Ratio>;
  rows.push_back(row_of<Pages, T>("decode", "ours-quest", dtype, with_share<Pages>(0.1), shape, random));
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return std::fprintf(stderr, "usage: lacuna_record TOKENS_PREFILL TOKENS_DECODE REPEATS\n"), 1;
  std::vector<Row> rows;
  add_prefill<float>(rows, "f32", std::atoll(arguments[1]));
  add_prefill<bfloat16>(rows, "bf16", std::atoll(arguments[1]));
  add_decode<float>(rows, "f32", std::atoll(arguments[2]));
  add_decode<bfloat16>(rows, "bf16", std::atoll(arguments[2]));
  for (int turn = 0; turn < std::atoi(arguments[3]); ++turn)
    for (Row& row : rows) row.turn(row);

  char date[16];
  std::time_t const now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));
  char const* const commit = std::getenv("LACUNA_COMMIT");
  std::puts(
      "date,commit,machine,phase,case,arm,batch,heads_q,heads_kv,dim,dtype,len,density,ms_select,ms_attend,ms_total,"
      "tflops,gbytes_per_s");
  for (Row const& r : rows) {
    double const total = r.select + r.attend;
    double const flops = r.density * bench::causal_pairs(r.shape) * 4.0 * static_cast<double>(r.shape.dim);
    double const bytes = r.density * 2.0 * static_cast<double>(r.shape.len_k * r.shape.heads_kv * r.shape.dim) *
                         static_cast<double>(r.element_bytes);
    std::printf("%s,%s,\"%s, 1 thread\",%s,%s,%s,1,%lld,%lld,%lld,%s,%lld,%.4f,%.4f,%.4f,%.4f,%.4f,%.2f\n", date,
                commit == nullptr ? "" : commit, machine().c_str(), r.phase.c_str(), r.name.c_str(), r.arm.c_str(),
                static_cast<long long>(r.shape.heads_q), static_cast<long long>(r.shape.heads_kv),
                static_cast<long long>(r.shape.dim), r.dtype.c_str(), static_cast<long long>(r.shape.len_k), r.density,
                r.select * 1e3, r.attend * 1e3, total * 1e3, flops / total * 1e-12,
                r.shape.len_q == 1 ? bytes / total * 1e-9 : 0.0);
  }
}
