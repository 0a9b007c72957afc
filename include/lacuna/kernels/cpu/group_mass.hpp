#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "lacuna/kernels/cpu/flash_block.hpp"
#include "lacuna/kernels/group_mass.hpp"

namespace lacuna {
namespace cpu {

/// Query groups against key groups, a panel of keys at a time. What a block received is kept relative to the highest
/// logit that its query group had met by then, and brought to one scale at the end: one pass, and no row of logits.
template <Storage T>
class GroupMass {
 public:
  static constexpr std::int64_t memory_floats(std::int64_t groups, std::int64_t stride, std::int64_t blocks,
                                              std::int64_t dim) {
    return round_up(groups * (stride * row_floats(dim) + kPanelKeys + 2 * blocks + 1), 16) + dot_tile_floats(dim);
  }

  explicit GroupMass(GroupMassArgs<T> const& args)
      : args_(args),
        kv_(args.problem.kv),
        head_kv_(args.head / args.problem.group()),
        len_(kv_.length(head_kv_)),
        row_floats_(row_floats(kv_.dim)),
        blocks_(args.mass.extent(1)),
        scale_log2_(args.problem.logit_scale() * kLog2E / static_cast<float>(args.stride)) {
    float* memory = args.scratch;
    auto const take = [&](std::int64_t floats) { return memory += floats, memory - floats; };
    q_ = take(args.groups * args.stride * row_floats_);
    logits_ = take(args.groups * kPanelKeys);
    sums_ = take(args.groups * blocks_);
    bases_ = take(args.groups * blocks_);
    highest_ = take(args.groups);
    tile_ = args.scratch + round_up(memory - args.scratch, 16);
    std::fill_n(q_, args.groups * args.stride * row_floats_, 0.0F);
    std::fill_n(sums_, args.groups * blocks_, 0.0F);
    std::fill_n(bases_, args.groups * blocks_, 0.0F);
    std::fill_n(highest_, args.groups, -kInfinity);
    load_queries();
  }

  void run() {
    std::int64_t const end = args_.first_group + args_.groups;
    for (std::int64_t first = oldest_group(0) / kPanelKeys * kPanelKeys; first < end; first += kPanelKeys) {
      std::int64_t const count = std::min(kPanelKeys, end - first);
      multiply_panel(first, count);
      for (std::int64_t g = 0; g < args_.groups; ++g)
        add_panel(g, first, std::clamp<std::int64_t>(args_.first_group + g + 1 - first, 0, count));
    }
    for (std::int64_t row = 0; row < args_.mass.extent(0); ++row) std::fill_n(args_.mass.slice(row), blocks_, 0.0F);
    for (std::int64_t g = 0; g < args_.groups; ++g) add_group(g);
  }

 private:
  /// The oldest key group that any query of a group may see. As on the diagonal, a few pairs of it may be hidden.
  std::int64_t oldest_group(std::int64_t g) const {
    std::int64_t const position = std::max((args_.first_group + g) * args_.stride, len_ - args_.problem.len_q());
    return args_.problem.oldest_key(position) / args_.stride;
  }

  /// Row g holds its queries last first, so that key u of a group meets query stride - 1 - u.
  void load_queries() {
    std::int64_t const first_query = len_ - args_.problem.len_q();
    for (std::int64_t g = 0; g < args_.groups; ++g)
      for (std::int64_t u = 0; u < args_.stride; ++u) {
        std::int64_t const at = (args_.first_group + g + 1) * args_.stride - 1 - u;
        if (at >= first_query && at < len_)
          widen_row(&args_.problem.q(at - first_query, args_.head, 0), kv_.dim,
                    q_ + (g * args_.stride + u) * row_floats_);
      }
  }

  void multiply_panel(std::int64_t first, std::int64_t count) {
    T const* rows[kPanelKeys];
    std::fill_n(logits_, args_.groups * kPanelKeys, 0.0F);
    for (std::int64_t u = 0; u < args_.stride; ++u) {
      std::int64_t present = 0;  // the last group may lack its last keys
      for (; present < count && (first + present) * args_.stride + u < len_; ++present)
        rows[present] = kv_.k + kv_.offset(head_kv_, (first + present) * args_.stride + u);
      if (present == 0) continue;
      for (std::int64_t g = 0; g < args_.groups; g += kStrip) {
        std::int64_t const query_count = std::min(kStrip, args_.groups - g);
        float const* queries[kStrip];
        for (std::int64_t i = 0; i < query_count; ++i) queries[i] = q_ + ((g + i) * args_.stride + u) * row_floats_;
        LACUNA_FOR_TARGET(dot_tile<T>)
        ({queries, query_count, rows, present, kv_.dim, tile_}, true, logits_ + g * kPanelKeys);
      }
    }
  }

  void add_panel(std::int64_t g, std::int64_t first, std::int64_t seen) {
    std::int64_t const hidden = std::max<std::int64_t>(oldest_group(g) - first, 0);
    if (hidden >= seen) return;
    float* const logits = logits_ + g * kPanelKeys;
    if (args_.problem.soft_cap > 0.0F)
      for (std::int64_t j = 0; j < seen; ++j)
        logits[j] = args_.problem.capped(logits[j] * scale_log2_ / kLog2E) * kLog2E / scale_log2_;
    std::fill_n(logits, hidden, -kInfinity);
    simd::Vec highest = simd::splat(highest_[g]);
    for (std::int64_t j = seen; j < round_up(seen, simd::kLanes); ++j) logits[j] = -kInfinity;
    for (std::int64_t j = 0; j < seen; j += simd::kLanes) {
      simd::Vec const scaled = simd::load(logits + j) * scale_log2_;
      simd::store(logits + j, scaled);
      highest = simd::max(scaled, highest);
    }
    highest_[g] = simd::largest(highest);
    float const base = highest_[g] == -kInfinity ? 0.0F : highest_[g];
    for (std::int64_t j = 0; j < seen; j += simd::kLanes)
      simd::store(logits + j, simd::exp2(simd::load(logits + j) - base));
    std::int64_t const block_groups = args_.block_tokens / args_.stride;
    for (std::int64_t j = 0; j < seen;) {
      std::int64_t const block = (first + j) / block_groups;
      std::int64_t const end = std::min((block + 1) * block_groups - first, seen);
      float& sum = sums_[g * blocks_ + block];
      // A block that has only begun has a sum of 0 and no base: 0 times infinity would be NaN.
      if (sum != 0.0F) sum *= std::exp2(bases_[g * blocks_ + block] - base);
      for (; j < end; ++j) sum += logits[j];
      bases_[g * blocks_ + block] = base;
    }
  }

  void add_group(std::int64_t g) {
    float const base = highest_[g] == -kInfinity ? 0.0F : highest_[g];
    float total = 0.0F;
    for (std::int64_t block = 0; block < blocks_; ++block) {
      float& sum = sums_[g * blocks_ + block];
      if (sum != 0.0F) sum *= std::exp2(bases_[g * blocks_ + block] - base);
      total += sum;
    }
    std::int64_t const block_groups = args_.block_tokens / args_.stride;
    std::int64_t const own = (args_.first_group + g) / block_groups;
    std::int64_t const in_block = std::min((own + 1) * block_groups, args_.first_group + args_.groups) -
                                  std::max(own * block_groups, args_.first_group);
    float const share = 1.0F / (total * static_cast<float>(in_block));
    float* const row = args_.mass.slice(own - args_.first_group / block_groups);
    for (std::int64_t block = 0; block < blocks_; ++block) row[block] += sums_[g * blocks_ + block] * share;
  }

  GroupMassArgs<T> const& args_;
  KvView<T> const& kv_;
  std::int64_t head_kv_, len_, row_floats_, blocks_;
  float scale_log2_;
  float *q_, *logits_, *sums_, *bases_, *highest_, *tile_;
};

}  // namespace cpu

/// For at most `groups` query groups of `stride`, and as many key blocks.
constexpr std::int64_t group_mass_floats(std::int64_t groups, std::int64_t stride, std::int64_t blocks,
                                         std::int64_t dim) {
  return cpu::GroupMass<float>::memory_floats(groups, stride, blocks, dim);
}

template <Storage T>
Status group_mass(Cpu, GroupMassArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  cpu::GroupMass<T>(args).run();
  return {};
}

}  // namespace lacuna
