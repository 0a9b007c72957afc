#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "lacuna/methods/ada_quest.hpp"
#include "lacuna/methods/ada_snap_kv.hpp"
#include "lacuna/methods/batch.hpp"
#include "lacuna/methods/block_sparse.hpp"
#include "lacuna/methods/dense.hpp"
#include "lacuna/methods/flex_prefill.hpp"
#include "lacuna/methods/quest.hpp"
#include "lacuna/methods/quest_top_p.hpp"
#include "lacuna/methods/snap_kv.hpp"
#include "lacuna/methods/streaming.hpp"
#include "lacuna/methods/tova.hpp"
#include "lacuna/methods/x_attention.hpp"
#include "support/bounds_case.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/inputs.hpp"
#include "support/method_run.hpp"

namespace {

std::atomic<std::int64_t> allocations{0};  // of the whole program, on every thread

void* allocate(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  void* const memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr && bytes > 0) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Never inlined: the compiler would take memory from an allocation function that goes back by free for a mistake.
#define LACUNA_NEVER_INLINED __attribute__((noinline))
LACUNA_NEVER_INLINED void* operator new(std::size_t bytes) {
  return allocate(bytes == 0 ? 1 : bytes, alignof(std::max_align_t));
}
LACUNA_NEVER_INLINED void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes == 0 ? 1 : bytes, static_cast<std::size_t>(alignment));
}
LACUNA_NEVER_INLINED void operator delete(void* memory) noexcept { std::free(memory); }
LACUNA_NEVER_INLINED void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
LACUNA_NEVER_INLINED void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
LACUNA_NEVER_INLINED void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace {

/// How often `call` allocates.
template <class Call>
std::int64_t allocations_of(Call const& call) {
  std::int64_t const before = allocations;
  call();
  return allocations - before;
}

/// A plan is exact: its bytes serve and one less is refused. And no call on the way allocates.
template <class M>
void keeps_to_its_plan(M const& method, lacuna::Cpu exec) {
  bool const step = M::moment == lacuna::Moment::each_step;
  auto const in = support::make_inputs<float>({step ? 1 : 200, 400, 2, 2, 32}, support::Data::random, 3);
  support::BoundsCase<float> c(in, 16);
  lacuna::Problem<float> const problem = c.problem();
  lacuna::AttentionOut<float> const out = c.problem_case().out();
  lacuna::Shape const shape = lacuna::shape_of(problem);
  lacuna::Plan plan;
  CHECK(allocations_of([&] { plan = *method.plan(exec, shape); }) == 0);
  support::GuardedMemory index_memory(plan.index_bytes), scratch(plan.workspace_bytes);
  lacuna::Workspace memory = index_memory.workspace(), whole = scratch.workspace();
  lacuna::Workspace const small = scratch.workspace(plan.workspace_bytes - 1);
  typename M::Index index;
  CHECK(allocations_of([&] { index = method.make_index(shape, memory); }) == 0);
  CHECK(memory.used_bytes() == plan.index_bytes);
  lacuna::Status status;
  CHECK(allocations_of([&] { status = method.run(exec, problem, small, index, out); }) == 0);
  CHECK(status.code == lacuna::Errc::workspace_too_small);
  CHECK(allocations_of([&] { status = method.run(exec, problem, whole, index, out); }) == 0);
  CHECK(std::string(status.message).empty());
  CHECK((index_memory.guards_untouched() && scratch.guards_untouched()));
}

TEST_CASE("allocation: the counter counts", "[core]") {
  CHECK(allocations_of([] {
          std::vector<int> one(100);
          int volatile* const seen = one.data();  // or it may be optimised away
          *seen = 1;
        }) == 1);
}

TEST_CASE("allocation: no method allocates, and its peak is what it planned", "[core]") {
  lacuna::ThreadPool pool(2);
  for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec()}) {
    CAPTURE(exec.workers);
    keeps_to_its_plan(lacuna::Dense{}, exec);
    keeps_to_its_plan(lacuna::Streaming{}, exec);
    keeps_to_its_plan(lacuna::VerticalSlash{.budget = {.columns = 30, .diagonals = 80}}, exec);
    keeps_to_its_plan(lacuna::FlexPrefill{.budget = {.floor_tokens = 64}}, exec);
    keeps_to_its_plan(lacuna::BlockSparse{.budget = {.tokens = 64}}, exec);
    keeps_to_its_plan(lacuna::XAttention{}, exec);
    keeps_to_its_plan(lacuna::SnapKv{.budget = {.tokens = 160}}, exec);
    keeps_to_its_plan(lacuna::AdaSnapKv{.budget = {.tokens = 160}}, exec);
    keeps_to_its_plan(lacuna::Tova{.budget = {.tokens = 160}}, exec);
    keeps_to_its_plan(lacuna::Quest{.budget = {.tokens = 64}}, exec);
    keeps_to_its_plan(lacuna::QuestTopP{.budget = {.floor_tokens = 64}}, exec);
    keeps_to_its_plan(lacuna::AdaQuest{.budget = {.tokens = 64}}, exec);
  }
}

TEST_CASE("allocation: no store allocates when it appends or forgets", "[core]") {
  auto const in = support::make_inputs<float>({1, 100, 2, 1, 16}, support::Data::random, 3);
  support::CacheCase<float, lacuna::EvictingCache> c(2, 16, 100, 16, 16);
  support::RowsCase<float> const rows(in, 0, 100);
  std::vector<std::int32_t> ids{3, 50, 99, 7, 8, 9}, counts{3, 3}, lens{100, 100};
  lacuna::TokenIndex const kept{lacuna::dense_view<std::int32_t, 2>(ids.data(), {2, 3}),
                                lacuna::dense_view<std::int32_t, 1>(counts.data(), {2}),
                                lacuna::dense_view<std::int32_t, 1>(lens.data(), {2})};
  lacuna::TensorView<float const, 3> const k = rows.k(), v = rows.v();
  lacuna::Status status;
  CHECK(allocations_of([&] { status = c.store().append(lacuna::Cpu{}, k, v); }) == 0);
  CHECK(status);
  CHECK(allocations_of([&] { status = c.store().retain(lacuna::Cpu{}, kept); }) == 0);
  CHECK(status);
  CHECK(c.store().view().length(1) == 3);
}

TEST_CASE("allocation: no batch allocates, and its plan is exact for its workers", "[core]") {
  lacuna::ThreadPool pool(2);
  lacuna::Dense const method;
  std::vector<support::ProblemCase<float>> cases;
  std::vector<lacuna::Shape> shapes;
  std::vector<lacuna::Sequence<lacuna::Dense, float>> sequences;
  for (std::int64_t len : {90, 0, 300, 17, 40})
    cases.emplace_back(support::make_inputs<float>({len, len, 1, 2, 16}, support::Data::random, 3));
  for (auto& c : cases) {
    shapes.push_back(lacuna::shape_of(c.problem()));
    lacuna::Workspace none;
    sequences.push_back({c.problem(), method.make_index(shapes.back(), none), c.out()});
  }
  std::size_t bytes = 0;
  CHECK(allocations_of(
            [&] { bytes = *lacuna::plan_batch(method, pool.exec(), std::span<lacuna::Shape const>(shapes)); }) == 0);
  support::GuardedMemory scratch(bytes);
  lacuna::Workspace const workspace = scratch.workspace();
  lacuna::Status status;
  CHECK(allocations_of([&] {
          status = lacuna::run_batch(method, pool.exec(), std::span<lacuna::Sequence<lacuna::Dense, float>>(sequences),
                                     workspace);
        }) == 0);
  CHECK(status);
  CHECK(scratch.guards_untouched());
}

}  // namespace
