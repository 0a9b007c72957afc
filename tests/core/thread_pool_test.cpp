#include "lacuna/core/thread_pool.hpp"

#include <atomic>
#include <cstdint>
#include <vector>

#include "support/catch.hpp"

namespace {

TEST_CASE("thread pool: every item runs once, whatever the number of workers", "[core]") {
  for (int workers : {1, 2, 3, 8}) {
    lacuna::ThreadPool pool(workers);
    lacuna::Cpu const exec = pool.exec();
    CHECK(exec.workers == workers);
    for (std::int64_t items : {0, 1, 2, 7, 1000}) {
      CAPTURE(workers, items);
      std::vector<int> calls(static_cast<std::size_t>(items));
      exec.each(items, [&](std::int64_t item, int) { ++calls[static_cast<std::size_t>(item)]; });
      CHECK(calls == std::vector<int>(static_cast<std::size_t>(items), 1));
    }
  }
}

TEST_CASE("thread pool: two calls never share a worker at the same time", "[core]") {
  lacuna::ThreadPool pool(3);
  std::vector<std::atomic<int>> inside(3);
  std::atomic<bool> shared = false;
  for (int round = 0; round < 200; ++round) {
    pool.exec().each(50, [&](std::int64_t, int worker) {
      if (inside[static_cast<std::size_t>(worker)].fetch_add(1) != 0) shared = true;
      inside[static_cast<std::size_t>(worker)].fetch_sub(1);
    });
  }
  CHECK_FALSE(shared);
}

TEST_CASE("thread pool: many short jobs in a row all finish before the call returns", "[core]") {
  lacuna::ThreadPool pool(2);
  std::int64_t total = 0;
  for (int job = 0; job < 4000; ++job) {
    std::atomic<std::int64_t> sum = 0;
    pool.exec().each(3, [&](std::int64_t item, int) { sum += item + 1; });
    total += sum;
  }
  CHECK(total == 4000 * 6);
}

}  // namespace
