#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "lacuna/index/block_index.hpp"
#include "lacuna/index/vertical_slash_index.hpp"
#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/inputs.hpp"

namespace support {

using Rows = std::vector<std::vector<std::int32_t>>;  // what each choice keeps

/// Choices of one sequence, head by head: from the device's arrays, brought to the host.
inline Rows choices(lacuna::BlockIndex const& index, std::vector<std::byte> const& host, std::byte const* device,
                    reference::Inputs const& in, std::size_t sequence, std::int64_t first_query, std::int64_t) {
  auto const on_host = [&](auto* p) {
    return reinterpret_cast<std::int32_t const*>(host.data() + (reinterpret_cast<std::byte const*>(p) - device));
  };
  std::int64_t const tokens = index.block_tokens, first_block = (in.len_k - in.len_q) / tokens;
  std::int64_t const first = lacuna::BlockIndex::first_row(static_cast<std::int64_t>(sequence), first_query, tokens);
  Rows rows;
  for (std::int64_t head = 0; head < index.heads(); ++head)
    for (std::int64_t m = first_block; in.len_q > 0 && m <= (in.len_k - 1) / tokens; ++m) {
      std::int64_t const r = first + m - first_block;
      std::int32_t const count = on_host(index.counts.data)[head * index.counts.stride(0) + r];
      std::int32_t const* const ids = on_host(index.blocks.data) + head * index.blocks.stride(0) + r * index.room;
      rows.emplace_back(ids, ids + count);
    }
  return rows;
}
inline Rows choices(lacuna::BlockIndex const& index) {
  Rows rows;
  for (std::int64_t head = 0; head < index.heads(); ++head)
    for (std::int64_t r = 0; r < index.rows(); ++r)
      rows.emplace_back(index.row(head, r), index.row(head, r) + index.counts(head, r));
  return rows;
}
inline Rows choices(lacuna::VerticalSlashIndex const& index, std::vector<std::byte> const& host,
                    std::byte const* device, reference::Inputs const& in, std::size_t sequence, std::int64_t,
                    std::int64_t batch) {
  auto const on_host = [&](auto* p) {
    return reinterpret_cast<std::int32_t const*>(host.data() + (reinterpret_cast<std::byte const*>(p) - device));
  };
  Rows rows;
  std::int64_t const heads = index.heads() / batch;
  for (std::int64_t head = 0; in.len_q > 0 && head < heads; ++head) {
    std::int64_t const row = static_cast<std::int64_t>(sequence) * heads + head;
    std::int32_t const* const counts = on_host(index.counts.data) + row * 2;
    std::int32_t const* const columns = on_host(index.columns.data) + row * index.columns.stride(0);
    std::int32_t const* const diagonals = on_host(index.diagonals.data) + row * index.diagonals.stride(0);
    rows.emplace_back(columns, columns + counts[0]);
    rows.emplace_back(diagonals, diagonals + counts[1]);
  }
  return rows;
}
inline Rows choices(lacuna::VerticalSlashIndex const& index) {
  Rows rows;
  for (std::int64_t head = 0; head < index.heads(); ++head) {
    rows.emplace_back(index.columns.slice(head), index.columns.slice(head) + index.counts(head, 0));
    rows.emplace_back(index.diagonals.slice(head), index.diagonals.slice(head) + index.counts(head, 1));
  }
  return rows;
}

/// Units that one keeps and the other does not.
inline std::size_t differences(std::vector<std::int32_t> const& a, std::vector<std::int32_t> const& b) {
  std::vector<std::int32_t> apart;
  std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(apart));
  return apart.size();
}

/// The method chooses on the device what it chooses on the CPU. Scores are sums in another order, so that two units as
/// good as equal may change places: one row in a hundred, by a unit or two.
template <class M>
void chooses_as_the_cpu(char const* name, M const& method, std::vector<Sizes> const& sizes,
                        std::int64_t window_tokens = 0, Layout layout = {}) {
  using T = lacuna::bfloat16;
  CAPTURE(name, window_tokens, layout.page_tokens);
  std::vector<reference::Inputs> inputs;
  for (std::size_t b = 0; b < sizes.size(); ++b) {
    inputs.push_back(make_inputs<T>(sizes[b], Data::random, 70 + b));
    inputs.back().window_tokens = window_tokens;
  }
  BatchCase<T> const c(inputs, layout);
  Stream stream;
  lacuna::Cuda const exec{stream};
  auto problem = c.problem();
  problem.max_len_k += 100;  // as when a captured call serves shorter sequences
  if (layout.page_tokens > 0) problem.max_len_k -= 100;
  auto const shape = lacuna::shape_of(problem);
  lacuna::Workspace index_counting;
  (void)method.make_index(shape, index_counting);
  DeviceArray<std::byte> index_memory(index_counting.used_bytes());
  lacuna::Workspace index_space(index_memory.data(), index_memory.size());
  auto index = method.make_index(shape, index_space);
  auto const plan = method.plan_selection(exec, shape);
  CAPTURE(plan.status().message);
  REQUIRE(plan);
  DeviceMemory scratch(*plan);
  auto const s = method.select(exec, problem, scratch.workspace(), index);
  CAPTURE(s.message, s.value, s.bound);
  REQUIRE(s);
  stream.wait();
  auto const host = index_memory.download();

  // Captured once and replayed, the same bits.
  index_memory.poison();
  cudaGraph_t graph;
  cudaGraphExec_t ready;
  cuda_check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  auto const captured = method.select(exec, problem, scratch.workspace(), index);
  cuda_check(cudaStreamEndCapture(stream, &graph));
  REQUIRE(captured);
  cuda_check(cudaGraphInstantiate(&ready, graph, 0));
  for (int replay = 0; replay < 2; ++replay) cuda_check(cudaGraphLaunch(ready, stream));
  stream.wait();
  REQUIRE(index_memory.download() == host);
  cuda_check(cudaGraphExecDestroy(ready));
  cuda_check(cudaGraphDestroy(graph));
  REQUIRE(index_memory.guards_untouched());
  REQUIRE(scratch.guards_untouched());

  std::int64_t first_query = 0;
  std::size_t rows = 0, apart = 0, apart_most = 0, units = 0;
  for (std::size_t b = 0; b < inputs.size(); first_query += inputs[b].len_q, ++b) {
    if (inputs[b].len_q == 0) continue;
    ProblemCase<T> const one(inputs[b]);
    auto const cpu_problem = one.problem();
    auto const cpu_shape = lacuna::shape_of(cpu_problem);
    auto const cpu_plan = method.plan(lacuna::Cpu{}, cpu_shape);
    REQUIRE(cpu_plan);
    std::vector<std::byte> cpu_index_memory(cpu_plan->index_bytes + 64), cpu_memory(cpu_plan->workspace_bytes + 64);
    auto const aligned = [](std::vector<std::byte>& v) {
      void* p = v.data();
      std::size_t space = v.size();
      return lacuna::Workspace(std::align(64, space - 64, p, space), space / 64 * 64);
    };
    lacuna::Workspace cpu_index_space = aligned(cpu_index_memory);
    auto cpu_index = method.make_index(cpu_shape, cpu_index_space);
    auto const t = method.select(lacuna::Cpu{}, cpu_problem, aligned(cpu_memory), cpu_index);
    CAPTURE(t.message);
    REQUIRE(t);
    Rows const expected = choices(cpu_index);
    Rows const got = choices(index, host, index_memory.data(), inputs[b], b, first_query, problem.batch);
    CAPTURE(b);
    REQUIRE(got.size() == expected.size());
    for (std::size_t r = 0; r < got.size(); ++r) {
      std::size_t const d = differences(got[r], expected[r]);
      rows += 1;
      units += expected[r].size();
      apart += d > 0;
      apart_most = std::max(apart_most, d);
    }
  }
  CAPTURE(rows, apart, apart_most, units);
  CHECK(apart * 100 <= rows + 99);
  CHECK(apart_most <= 2);
}

inline std::vector<Sizes> const kChoosingBatch{
    {700, 700, 2, 2, 64}, {130, 400, 2, 2, 64}, {0, 90, 2, 2, 64}, {1, 333, 2, 2, 64}, {40, 40, 2, 2, 64}};

}  // namespace support
