#include "lacuna/core/exec.hpp"

#include <cstdint>
#include <vector>

#include "support/catch.hpp"
#include "support/exec.hpp"

namespace {

using lacuna::Cpu;

void counts_every_item_once(Cpu const& exec, std::int64_t items) {
  std::vector<int> calls(static_cast<std::size_t>(items));
  bool workers_in_range = true;
  exec.each(items, [&](std::int64_t item, int worker) {
    ++calls[static_cast<std::size_t>(item)];
    workers_in_range = workers_in_range && worker >= 0 && worker < exec.workers;
  });
  CHECK(calls == std::vector<int>(static_cast<std::size_t>(items), 1));
  CHECK(workers_in_range);
}

TEST_CASE("exec: every item runs once, on the calling thread and through a pool", "[core]") {
  for (std::int64_t items : {0, 1, 2, 17}) {
    CAPTURE(items);
    counts_every_item_once(Cpu{}, items);
    counts_every_item_once(support::backwards(3), items);
  }
}

TEST_CASE("exec: little work stays on the calling thread", "[core]") {
  lacuna::Cpu const pool = support::backwards(3);
  CHECK(pool.for_work(10).workers == 1);
  CHECK(pool.for_work(10).parallel_for == nullptr);
  CHECK(pool.for_work(std::int64_t{1} << 30).workers == 3);
  CHECK(pool.for_work(std::int64_t{1} << 30).parallel_for == pool.parallel_for);
}

}  // namespace
