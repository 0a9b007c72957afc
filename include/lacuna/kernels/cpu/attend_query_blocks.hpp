#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/kernels/cpu/flash_block.hpp"
#include "lacuna/kernels/cpu/shared_panels.hpp"

namespace lacuna::cpu {

/// How the query rows of a problem are cut into blocks: `heads` neighbouring query heads by the positions [m *
/// positions, (m + 1) * positions), and cut once more where position `cut` begins.
struct BlockShape {
  std::int64_t heads = 1;
  std::int64_t positions = 64;
  std::int64_t cut = std::numeric_limits<std::int64_t>::max();
  bool narrow = false;  // runs of fewer than 64 keys

  std::int64_t rows(Shape const& shape) const { return heads * std::min(positions, shape.len_q); }
  /// Whether at least two blocks read each KV head, in strips: then its panels are packed once.
  bool shares_panels(Shape const& shape) const {
    return rows(shape) > kDirectRows && shape.len_q * shape.group() >= 2 * rows(shape);
  }
};

struct BlockScratch {
  float *blocks,
      *panels;  // one block per worker; of one KV head at a time, or null
};

inline BlockScratch reserve_blocks(Cpu exec, Shape const& shape, BlockShape block, Workspace& memory) {
  float* const blocks =
      memory.take<float>(exec.workers * FlashBlock<float>::memory_floats(block.rows(shape), shape.dim));
  if (!block.shares_panels(shape)) return {blocks, nullptr};
  return {blocks, memory.take<float>(SharedPanels<float>::memory_floats(shape.len_k, shape.dim))};
}

/// The query rows [first, last) of query head `head` and its neighbours.
template <Storage T, class Runs>
void attend_query_block(Problem<T> const& problem, AttentionOut<T> const& out, std::int64_t head, std::int64_t heads,
                        std::int64_t first, std::int64_t last, float* memory, SharedPanels<T> const* panels,
                        Runs const& runs) {
  std::int64_t const rows = (last - first) * heads, head_kv = head / problem.group();
  std::int64_t const first_query = problem.kv.length(head_kv) - problem.len_q();
  FlashBlock<T> block(memory, rows, problem, head_kv, panels);
  block.set_positions(first, heads);
  auto const query = [&](std::int64_t r) { return first - first_query + r / heads; };
  for (std::int64_t r = 0; r < rows; ++r) block.set_query(r, &problem.q(query(r), head + r % heads, 0));
  runs(block);
  block.finish();
  for (std::int64_t r = 0; r < rows; ++r)
    write_answer(block.mass(r), block.sums(r), problem.sink_logit(head + r % heads), problem.dim(),
                 &out.out(query(r), head + r % heads, 0),
                 out.lse.data == nullptr ? nullptr : &out.lse(query(r), head + r % heads));
}

/// Attention where runs(head_q, m, block) adds the runs of keys that block m of query head head_q (and its block.heads
/// - 1 neighbours) reads, ascending, by block.add_run(begin, end). `multiply_adds` estimates the work.
template <Storage T, class Runs>
Status attend_query_blocks(Cpu exec, Problem<T> const& problem, AttentionOut<T> const& out, Workspace memory,
                           BlockShape shape, std::int64_t multiply_adds, Runs const& runs) {
  if (problem.len_q() == 0) return {};
  Shape const whole = shape_of(problem);
  BlockScratch const scratch = reserve_blocks(exec, whole, shape, memory);
  if (Status s = memory.check("attend: the workspace is smaller than planned"); !s) return s;
  std::int64_t const floats = FlashBlock<T>::memory_floats(shape.rows(whole), problem.dim());
  std::int64_t const blocks = (problem.len_q() + shape.positions - 2) / shape.positions + 1;
  bool const shares = shape.shares_panels(whole);
  // What is packed of a KV head lies where the one before it lay.
  std::int64_t const sections = shares ? problem.heads_kv() : 1, heads = problem.heads_q() / sections;
  for (std::int64_t section = 0; section < sections; ++section) {
    SharedPanels<T> const panels(scratch.panels, problem.kv, shares ? section : 0, shares, shape.narrow);
    std::int64_t const head_blocks = heads / shape.heads;
    exec.for_work(multiply_adds / sections).each(blocks * head_blocks, [&](std::int64_t item, int worker) {
      std::int64_t const head = section * heads + item % head_blocks * shape.heads;
      std::int64_t const len = problem.kv.length(head / problem.group());
      std::int64_t const first_query = len - problem.len_q();
      std::int64_t const m = first_query / shape.positions + blocks - 1 - item / head_blocks;  // longest first
      std::int64_t const end = std::min((m + 1) * shape.positions, len);
      for (std::int64_t first = std::max(m * shape.positions, first_query), last; first < end; first = last) {
        last = first < shape.cut && shape.cut < end ? shape.cut : end;
        attend_query_block(problem, out, head, shape.heads, first, last, scratch.blocks + worker * floats,
                           shares ? &panels : nullptr, [&](FlashBlock<T>& block) { runs(head, m, block); });
      }
    });
  }
  return {};
}

}  // namespace lacuna::cpu
