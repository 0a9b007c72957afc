#include <cstdint>
#include <span>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "lacuna/index/token_index.hpp"
#include "lacuna/kv/evicting.hpp"
#include "lacuna/methods/batch.hpp"
#include "lacuna/methods/dense.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/heap.hpp"
#include "support/inputs.hpp"
#include "support/memory.hpp"
#include "support/problem_case.hpp"

namespace {

using support::Heap, support::heap_of;

TEST_CASE("allocation: the counter counts", "[core]") {
  Heap const one = heap_of([] {
    std::vector<std::int32_t> numbers(100);
    std::int32_t volatile* const seen = numbers.data();  // or it may be optimised away
    *seen = 1;
  });
  CHECK(one == Heap{1, 400});
  CHECK(heap_of([] {}) == Heap{});
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
  CHECK(heap_of([&] { status = c.store().append(lacuna::Cpu{}, k, v); }) == Heap{});
  CHECK(status);
  CHECK(heap_of([&] { status = c.store().retain(lacuna::Cpu{}, kept); }) == Heap{});
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
  CHECK(heap_of([&] { bytes = *lacuna::plan_batch(method, pool.exec(), std::span<lacuna::Shape const>(shapes)); }) ==
        Heap{});
  support::GuardedMemory scratch(bytes);
  lacuna::Workspace const workspace = scratch.workspace();
  lacuna::Status status;
  CHECK(heap_of([&] {
          status = lacuna::run_batch(method, pool.exec(), std::span<lacuna::Sequence<lacuna::Dense, float>>(sequences),
                                     workspace);
        }) == Heap{});
  CHECK(status);
  CHECK(scratch.guards_untouched());
}

}  // namespace
