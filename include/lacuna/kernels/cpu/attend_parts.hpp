#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/kernels/cpu/flash_block.hpp"

namespace lacuna::cpu {

/// Few queries that read many keys, as in decoding, are cut along the keys, so that every worker has something to read.
/// How many parts there are depends on the problem alone, and they merge in their order: the same bits for any workers.
inline constexpr std::int64_t kPartKeys = 2048;

/// Parts of the work of `heads` neighbouring query heads, which read at most so many keys; 1 where cutting does not
/// pay.
inline std::int64_t parts_of(Shape const& shape, std::int64_t heads, std::int64_t keys) {
  return heads * shape.len_q > kStrip ? 1 : std::max<std::int64_t>((keys + kPartKeys - 1) / kPartKeys, 1);
}

/// What a row has summed in a part: the values, then the highest logit (base 2) and the mass.
constexpr std::int64_t part_floats(std::int64_t dim) { return row_floats(dim) + 2; }

struct PartScratch {
  float *blocks, *sums;  // one block per worker; [heads_q / heads, parts, rows, part_floats]
};

inline PartScratch take_parts(Cpu exec, Shape const& shape, std::int64_t heads, std::int64_t keys, Workspace& memory) {
  std::int64_t const parts = parts_of(shape, heads, keys);
  return {memory.take<float>(exec.workers * FlashBlock<float>::memory_floats(heads * shape.len_q, shape.dim)),
          memory.take<float>(shape.heads_q * shape.len_q * parts * part_floats(shape.dim))};
}

/// For any problem up to this shape that is cut at all.
inline void reserve_parts(Cpu exec, Shape shape, std::int64_t heads, std::int64_t keys, Workspace& memory) {
  shape.len_q = std::min(shape.len_q, kStrip / heads);
  if (parts_of(shape, heads, keys) > 1) (void)take_parts(exec, shape, heads, keys, memory);
}

/// Of two ways to carve, the one that takes more.
inline Workspace larger(Workspace const& a, Workspace const& b) { return a.used_bytes() < b.used_bytes() ? b : a; }

/// Attention where runs(head_q, part, parts, block) adds the runs of keys that a part of query head head_q and its
/// heads - 1 neighbours reads. All queries of a head are one block.
template <Storage T, class Runs>
Status attend_parts(Cpu exec, Problem<T> const& problem, AttentionOut<T> const& out, Workspace memory,
                    std::int64_t heads, std::int64_t keys, Runs const& runs) {
  Shape const shape = shape_of(problem);
  PartScratch const scratch = take_parts(exec, shape, heads, keys, memory);
  if (Status s = memory.check("attend: the workspace is smaller than planned"); !s) return s;
  std::int64_t const parts = parts_of(shape, heads, keys), rows = heads * shape.len_q, dim = shape.dim;
  std::int64_t const floats = FlashBlock<T>::memory_floats(rows, dim);
  auto const state = [&](std::int64_t head_block, std::int64_t part, std::int64_t r) {
    return scratch.sums + ((head_block * parts + part) * rows + r) * part_floats(dim);
  };
  Cpu const crew = exec.for_work(shape.heads_q * shape.len_q * keys * dim);
  crew.each(shape.heads_q / heads * parts, [&](std::int64_t item, int worker) {
    std::int64_t const head_block = item / parts, part = item % parts, head = head_block * heads;
    std::int64_t const head_kv = head / problem.group();
    FlashBlock<T> block(scratch.blocks + worker * floats, rows, problem, head_kv, nullptr);
    block.set_positions(problem.kv.length(head_kv) - shape.len_q, heads);
    for (std::int64_t r = 0; r < rows; ++r) block.set_query(r, &problem.q(r / heads, head + r % heads, 0));
    runs(head, part, parts, block);
    block.finish();
    for (std::int64_t r = 0; r < rows; ++r) {
      float* const sums = state(head_block, part, r);
      std::copy_n(block.sums(r), row_floats(dim), sums);
      sums[row_floats(dim)] = static_cast<float>(block.mass(r).highest);
      sums[row_floats(dim) + 1] = static_cast<float>(block.mass(r).mass);
    }
  });
  crew.each(shape.heads_q / heads * rows, [&](std::int64_t item, int) {
    std::int64_t const head_block = item / rows, r = item % rows, head = head_block * heads + r % heads;
    RowMass whole{-double{kInfinity}, 0.0};
    for (std::int64_t part = 0; part < parts; ++part)
      whole.highest = std::max(whole.highest, double{state(head_block, part, r)[row_floats(dim)]});
    float* const total = state(head_block, 0, r);
    for (std::int64_t part = 0; part < parts; ++part) {
      float const* const sums = state(head_block, part, r);
      double const highest = sums[row_floats(dim)], mass = sums[row_floats(dim) + 1];
      float const factor = mass == 0.0 ? 0.0F : static_cast<float>(std::exp2(highest - whole.highest));
      whole.mass += mass * double{factor};
      for (std::int64_t x = 0; x < dim; ++x)
        total[x] = (part == 0 ? 0.0F : total[x]) + (factor == 0.0F ? 0.0F : sums[x] * factor);
    }
    write_answer(whole, total, problem.sink_logit(head), dim, &out.out(r / heads, head, 0),
                 out.lse.data == nullptr ? nullptr : &out.lse(r / heads, head));
  });
  return {};
}

}  // namespace lacuna::cpu
