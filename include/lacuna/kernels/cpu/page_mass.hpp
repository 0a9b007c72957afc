#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "lacuna/core/exec.hpp"
#include "lacuna/kernels/cpu/flash_kernels.hpp"
#include "lacuna/kernels/page_mass.hpp"

namespace lacuna {

/// Per worker: one query, one decoded key, and for each page the highest logit and the weights relative to it.
inline float* reserve_page_mass(Cpu exec, Shape const& shape, std::int64_t capacity, Workspace& memory) {
  return memory.take<float>(exec.workers * (2 * cpu::row_floats(shape.dim) + 2 * capacity));
}

template <Storage T>
Status page_mass(Cpu exec, PageMassArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  Problem<T> const& problem = args.problem;
  KvView<T> const& kv = problem.kv;
  Workspace memory = args.scratch;
  std::int64_t const capacity = args.pages.extent(1), floats = 2 * cpu::row_floats(kv.dim) + 2 * capacity;
  float* const scratch = reserve_page_mass(exec, shape_of(problem), capacity, memory);
  if (Status s = memory.check("page_mass: the workspace is smaller than planned"); !s) return s;
  std::int64_t const rows = args.mass.extent(0), heads_per_row = problem.heads_q() / rows;
  exec.for_work(problem.heads_q() * capacity * args.page_tokens * kv.dim).each(rows, [&](std::int64_t row, int worker) {
    float* const query = scratch + worker * floats;
    float* const decoded = query + cpu::row_floats(kv.dim);
    float* const highest = decoded + cpu::row_floats(kv.dim);
    float* const sums = highest + capacity;
    std::int32_t const* const pages = args.pages.slice(row);
    std::int64_t const count = args.counts(row), head_kv = row * heads_per_row / problem.group();
    std::int64_t const oldest = problem.oldest_key(kv.length(head_kv) - 1);
    float* const mass = args.mass.slice(row);
    auto const product_with = [&](std::int64_t token) {
      if (!args.from_codes) return LACUNA_FOR_TARGET(dot_row<T>)(query, kv.k + kv.offset(head_kv, token), kv.dim);
      std::int8_t const* const codes = &kv.key_codes(head_kv, token, 0);
      for (std::int64_t x = 0; x < kv.dim; ++x) decoded[x] = static_cast<float>(codes[x]);
      return kv.key_scales(head_kv, token) * LACUNA_FOR_TARGET(dot_row<float>)(query, decoded, kv.dim);
    };
    std::fill_n(mass, args.mass.extent(1), kNone);
    for (std::int64_t i = 0; i < count; ++i) mass[pages[i]] = 0.0F;
    for (std::int64_t head = row * heads_per_row; head < (row + 1) * heads_per_row; ++head) {
      cpu::widen_row(&problem.q(0, head, 0), kv.dim, query);
      float top = kNone;
      for (std::int64_t i = 0; i < count; ++i) {
        highest[i] = kNone, sums[i] = 0.0F;
        std::int64_t const first = std::max(pages[i] * args.page_tokens, oldest);
        for (std::int64_t token = first; token < (pages[i] + 1) * args.page_tokens; ++token) {
          float const logit = problem.capped(product_with(token) * problem.logit_scale());
          if (logit == kNone) continue;
          if (logit > highest[i]) {
            sums[i] *= std::exp(highest[i] - logit);
            highest[i] = logit;
          }
          sums[i] += std::exp(logit - highest[i]);
        }
        if (!std::isnan(sums[i])) top = std::max(top, highest[i]);
      }
      if (top == kNone) continue;
      float total = 0.0F;
      for (std::int64_t i = 0; i < count; ++i) {
        sums[i] *= std::exp(highest[i] - top);
        if (!std::isnan(sums[i])) total += sums[i];
      }
      float const share = 1.0F / (total * static_cast<float>(heads_per_row));
      for (std::int64_t i = 0; i < count; ++i) mass[pages[i]] += sums[i] * share;
    }
  });
  return {};
}

}  // namespace lacuna
