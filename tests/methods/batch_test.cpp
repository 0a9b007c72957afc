#include "lacuna/methods/batch.hpp"

#include <memory>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "lacuna/methods/dense.hpp"
#include "lacuna/methods/quest.hpp"
#include "lacuna/methods/snap_kv.hpp"
#include "lacuna/methods/vertical_slash.hpp"
#include "support/bounds_case.hpp"
#include "support/catch.hpp"
#include "support/exec.hpp"
#include "support/memory.hpp"
#include "support/method_run.hpp"
#include "support/problem_case.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::Cpu;
using support::Data;
using support::GuardedMemory;
using support::Sizes;

std::vector<Sizes> ragged_prompts() {
  return {{97, 97, 2, 2, 32},   {0, 0, 2, 2, 32},   {1, 1, 2, 2, 32},
          {300, 300, 2, 2, 32}, {64, 64, 1, 3, 16}, {33, 65, 2, 2, 32}};
}

std::vector<Sizes> ragged_steps() {
  return {{1, 40, 2, 2, 32}, {1, 1, 2, 2, 32}, {1, 1000, 2, 2, 32}, {1, 17, 1, 5, 64}, {1, 16, 2, 2, 32}};
}

/// The members of a batch with all their memory, and the answers that they give one by one.
template <class M>
struct Batch {
  std::vector<std::unique_ptr<support::BoundsCase<float>>> cases;
  std::vector<std::unique_ptr<GuardedMemory>> index_memory;
  std::vector<lacuna::Sequence<M, float>> sequences;
  std::vector<lacuna::Shape> shapes;
  std::vector<std::vector<double>> one_by_one;

  Batch(M const& method, std::vector<Sizes> const& sizes, std::int64_t page_tokens) {
    for (Sizes const& size : sizes) {
      auto const in = support::make_inputs<float>(size, Data::random, 7 + static_cast<std::uint64_t>(size.len_k));
      cases.push_back(std::make_unique<support::BoundsCase<float>>(in, page_tokens, support::Layout{}));
      lacuna::Problem<float> const problem = cases.back()->problem();
      shapes.push_back(lacuna::shape_of(problem));
      support::MethodRun<M> alone(method, problem);
      REQUIRE(alone.run(problem, cases.back()->problem_case().out()) == "");
      one_by_one.push_back(cases.back()->problem_case().answer());
      cases.back()->problem_case().poison_answers();
      index_memory.push_back(std::make_unique<GuardedMemory>(alone.plan().index_bytes));
      lacuna::Workspace memory = index_memory.back()->workspace();
      sequences.push_back({problem, method.make_index(shapes.back(), memory), cases.back()->problem_case().out()});
    }
  }

  void equals_one_by_one(M const& method, Cpu exec) {
    CAPTURE(exec.workers);
    for (auto const& c : cases) c->problem_case().poison_answers();
    auto const bytes = lacuna::plan_batch(method, exec, shapes);
    REQUIRE(bytes);
    GuardedMemory scratch(*bytes);
    lacuna::Status const s = lacuna::run_batch<M, float>(method, exec, sequences, scratch.workspace());
    CHECK(std::string(s.message) == "");
    CHECK(scratch.guards_untouched());
    for (std::size_t i = 0; i < cases.size(); ++i) {
      CAPTURE(i);
      CHECK(sequences[i].status);
      CHECK(index_memory[i]->guards_untouched());
      CHECK(cases[i]->problem_case().exactly_the_answer_was_written());
      CHECK(cases[i]->problem_case().answer() == one_by_one[i]);
    }
  }

  void equals_one_by_one_on_every_exec(M const& method) {
    equals_one_by_one(method, Cpu{});
    equals_one_by_one(method, support::backwards(3));
    lacuna::ThreadPool pool(3);
    equals_one_by_one(method, pool.exec());
  }
};

}  // namespace

TEST_CASE("batch: dense prompts of all lengths give the bits that they give one by one") {
  lacuna::Dense const method;
  Batch<lacuna::Dense>(method, ragged_prompts(), 16).equals_one_by_one_on_every_exec(method);
}

TEST_CASE("batch: vertical-slash prompts of all lengths give the bits that they give one by one") {
  using Method = lacuna::VerticalSlashOf<16>;
  Method const method{.selector = {.inner = {.window = 16}, .recent_tokens = 8},
                      .budget = {.columns = 12, .diagonals = 12}};
  Batch<Method>(method, ragged_prompts(), 16).equals_one_by_one_on_every_exec(method);
}

TEST_CASE("batch: prompts that are about to be evicted attend densely, one by one or together") {
  lacuna::SnapKv const method{.selector = {.inner = {.inner = {.window = 16}, .width = 5}, .recent_tokens = 8},
                              .budget = {.tokens = 24}};
  Batch<lacuna::SnapKv>(method, ragged_prompts(), 16).equals_one_by_one_on_every_exec(method);
}

TEST_CASE("batch: quest steps over ragged caches give the bits that they give one by one") {
  lacuna::Quest const method{.budget = {.tokens = 64}};
  Batch<lacuna::Quest>(method, ragged_steps(), 16).equals_one_by_one_on_every_exec(method);
}

TEST_CASE("batch: a sequence that is refused says so and disturbs no other") {
  lacuna::Dense const method;
  Batch<lacuna::Dense> batch(method, ragged_prompts(), 16);
  batch.sequences[2].problem.kv.k = nullptr;
  auto const bytes = lacuna::plan_batch(method, Cpu{}, batch.shapes);
  REQUIRE(bytes);
  GuardedMemory scratch(*bytes);
  lacuna::Status const s = lacuna::run_batch<lacuna::Dense, float>(method, Cpu{}, batch.sequences, scratch.workspace());
  CHECK_FALSE(s);
  for (std::size_t i = 0; i < batch.sequences.size(); ++i) {
    CHECK(static_cast<bool>(batch.sequences[i].status) == (i != 2));
    if (i != 2) CHECK(batch.cases[i]->problem_case().answer() == batch.one_by_one[i]);
  }
}

TEST_CASE("batch: a smaller workspace than planned is refused, an empty batch needs none") {
  lacuna::Dense const method;
  Batch<lacuna::Dense> batch(method, ragged_prompts(), 16);
  auto const bytes = lacuna::plan_batch(method, support::backwards(3), batch.shapes);
  REQUIRE(bytes);
  GuardedMemory scratch(*bytes);
  lacuna::Status const s = lacuna::run_batch<lacuna::Dense, float>(method, support::backwards(3), batch.sequences,
                                                                   scratch.workspace(*bytes / 2));
  CHECK(s.code == lacuna::Errc::workspace_too_small);
  lacuna::Status const none = lacuna::run_batch<lacuna::Dense, float>(method, Cpu{}, batch.sequences, {});
  CHECK(std::string(none.message) == "batch: the workspace is smaller than planned");
  CHECK(lacuna::run_batch<lacuna::Dense, float>(method, Cpu{}, {}, {}));
  CHECK(*lacuna::plan_batch(method, Cpu{}, {}) == 0);
}

TEST_CASE("batch: a shape that the method refuses is the plan's status") {
  lacuna::Quest const method{.budget = {.tokens = 0}};
  std::vector<lacuna::Shape> const shapes = {{1, 10, 4, 2, 32}};
  CHECK_FALSE(lacuna::plan_batch(method, Cpu{}, shapes));
}
