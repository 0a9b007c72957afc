#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/kernels/cpu/flash_block.hpp"
#include "lacuna/kernels/group_mass.hpp"

namespace lacuna {
namespace cpu {

/// One key of each of `count` key groups against one query of each query group: the logits grow by these products.
template <Storage T>
struct GroupProduct {
  T const* const* keys;  // [present]; what the last group lacks counts as zeros
  std::int64_t present, count, dim;
  float* panel;  // [panel_floats]
  float const* queries;
  std::int64_t queries_step, strips;  // floats between strips of 64 query groups
  float* logits;                      // [strips, kPanelKeys, kStrip]
  bool add;
};

/// Of a strip of query groups. What a block received is kept relative to the highest logit that its query group had met
/// by then, and brought to one scale at the end: one pass, and no row of logits.
struct GroupSums {
  float* logits;             // [kPanelKeys, kStrip]
  float* highest;            // [kStrip]
  float *sums, *bases;       // [blocks, kStrip]
  float scale_log2, squash;  // unless squash is 0, products become tanh(squash * product) before they are scaled
  std::int64_t block_groups;
  std::int32_t const* oldest;  // [kStrip], of the panel's keys the first that a query group sees; null if all
};

/// What differs between instruction sets; group_mass.inl says what each does.
template <Storage T>
struct GroupKernels {
  void (*pack)(T const* const* queries, std::int64_t count, std::int64_t dim, float* strip);
  void (*multiply)(GroupProduct<T> const&);
  void (*add_panel)(GroupSums const&, std::int64_t first, std::int64_t count, std::int64_t first_group);
  void (*share)(GroupSums const&, std::int64_t blocks, float const* factors);
  void (*add_shares)(GroupSums const&, std::int64_t blocks, float* const* rows);
};

}  // namespace cpu
}  // namespace lacuna

#define LACUNA_EACH_TARGET "lacuna/kernels/cpu/group_mass.inl"
#include "lacuna/kernels/cpu/each_target.inl"

namespace lacuna {
namespace cpu {

/// Query groups against key groups, a panel of keys at a time.
template <Storage T>
class GroupMass {
 public:
  static constexpr std::int64_t memory_floats(std::int64_t groups, std::int64_t stride, std::int64_t blocks,
                                              std::int64_t dim) {
    std::int64_t const rows = round_up(groups, kStrip);
    return rows * (stride * row_floats(dim) + kPanelKeys + 2 * round_up(blocks, 16) + 1) + panel_floats(dim);
  }

  explicit GroupMass(GroupMassArgs<T> const& args)
      : args_(args),
        kv_(args.problem.kv),
        head_kv_(args.head / args.problem.group()),
        len_(kv_.length(head_kv_)),
        strips_(round_up(args.groups, kStrip) / kStrip),
        blocks_(args.mass.extent(1)) {
    float* memory = args.scratch;
    auto const take = [&](std::int64_t floats) { return memory += floats, memory - floats; };
    std::int64_t const rows = strips_ * kStrip;
    q_ = take(rows * args.stride * row_floats(kv_.dim));
    logits_ = take(rows * kPanelKeys);
    sums_ = take(rows * round_up(blocks_, 16));
    bases_ = take(rows * round_up(blocks_, 16));
    highest_ = take(rows);
    panel_ = take(panel_floats(kv_.dim));
    std::fill_n(highest_, rows, -kInfinity);
    std::fill_n(sums_, rows * round_up(blocks_, 16), 0.0F);
    std::fill_n(bases_, rows * round_up(blocks_, 16), 0.0F);
  }

  void run() {
    pack_queries();
    std::int64_t const end = args_.first_group + args_.groups;
    for (std::int64_t first = oldest_group(0) / kPanelKeys * kPanelKeys; first < end; first += kPanelKeys) {
      std::int64_t const count = std::min(kPanelKeys, end - first);
      std::int64_t const strip =
          std::max<std::int64_t>(first - args_.first_group, 0) / kStrip;  // later than all before
      multiply_panel(strip, first, count);
      for (std::int64_t s = strip; s < strips_; ++s) add_panel(s, first, count);
    }
    for (std::int64_t row = 0; row < args_.mass.extent(0); ++row) std::fill_n(args_.mass.slice(row), blocks_, 0.0F);
    for (std::int64_t strip = 0; strip < strips_; ++strip) add_strip(strip);
  }

 private:
  /// The oldest key group that any query of a group may see. As on the diagonal, a few pairs of it may be hidden.
  std::int64_t oldest_group(std::int64_t g) const {
    std::int64_t const position = std::max((args_.first_group + g) * args_.stride, len_ - args_.problem.len_q());
    return args_.problem.oldest_key(position) / args_.stride;
  }

  float* queries(std::int64_t strip, std::int64_t u) const {
    return q_ + (strip * args_.stride + u) * kStrip * row_floats(kv_.dim);
  }
  GroupSums sums_of(std::int64_t strip) const {
    std::int64_t const floats = round_up(blocks_, 16) * kStrip;
    float const cap = args_.problem.soft_cap;
    float const scale = args_.problem.logit_scale() / static_cast<float>(args_.stride);
    return {logits_ + strip * kPanelKeys * kStrip,
            highest_ + strip * kStrip,
            sums_ + strip * floats,
            bases_ + strip * floats,
            (cap > 0.0F ? cap : scale) * kLog2E,
            cap > 0.0F ? scale / cap : 0.0F,
            args_.block_tokens / args_.stride,
            nullptr};
  }

  /// Key u of a group meets query stride - 1 - u.
  void pack_queries() {
    std::int64_t const first_query = len_ - args_.problem.len_q();
    T const* rows[kStrip];
    for (std::int64_t strip = 0; strip < strips_; ++strip)
      for (std::int64_t u = 0; u < args_.stride; ++u) {
        std::int64_t const count = std::min(kStrip, args_.groups - strip * kStrip);
        for (std::int64_t g = 0; g < count; ++g) {
          std::int64_t const at = (args_.first_group + strip * kStrip + g + 1) * args_.stride - 1 - u;
          bool const there = at >= first_query && at < len_;
          rows[g] = there ? &args_.problem.q(at - first_query, args_.head, 0) : nullptr;
        }
        std::fill(rows + count, rows + kStrip, nullptr);
        kernels_.pack(rows, kStrip, kv_.dim, queries(strip, u));
      }
  }

  /// By the strips from one on.
  void multiply_panel(std::int64_t strip, std::int64_t first, std::int64_t count) {
    T const* rows[kPanelKeys];
    for (std::int64_t u = 0; u < args_.stride; ++u) {
      std::int64_t present = 0;  // the last group may lack its last keys
      for (; present < count && (first + present) * args_.stride + u < len_; ++present)
        rows[present] = kv_.k + kv_.offset(head_kv_, (first + present) * args_.stride + u);
      kernels_.multiply({rows, present, count, kv_.dim, panel_, queries(strip, u),
                         args_.stride * kStrip * row_floats(kv_.dim), strips_ - strip,
                         logits_ + strip * kPanelKeys * kStrip, u > 0});
    }
  }

  void add_panel(std::int64_t strip, std::int64_t first, std::int64_t count) {
    GroupSums sums = sums_of(strip);
    std::int32_t oldest[kStrip];
    if (args_.problem.window_tokens > 0) {
      for (std::int64_t g = 0; g < kStrip; ++g)
        oldest[g] = static_cast<std::int32_t>(oldest_group(strip * kStrip + g) - first);
      sums.oldest = oldest;
    }
    kernels_.add_panel(sums, first, count, args_.first_group + strip * kStrip);
  }

  void add_strip(std::int64_t strip) {
    std::int64_t const block_groups = args_.block_tokens / args_.stride;
    std::int64_t const first_block = args_.first_group / block_groups, end = args_.first_group + args_.groups;
    float factors[kStrip];
    float* rows[kStrip];
    for (std::int64_t g = 0; g < kStrip; ++g) {
      std::int64_t const group = args_.first_group + strip * kStrip + g, own = group / block_groups;
      std::int64_t const in_block =
          std::min((own + 1) * block_groups, end) - std::max(own * block_groups, args_.first_group);
      factors[g] = group < end ? 1.0F / static_cast<float>(in_block) : 0.0F;
      rows[g] = group < end ? args_.mass.slice(own - first_block) : nullptr;
    }
    GroupSums const sums = sums_of(strip);
    kernels_.share(sums, blocks_, factors);
    kernels_.add_shares(sums, blocks_, rows);
  }

  GroupKernels<T> const& kernels_ = LACUNA_FOR_TARGET(group_kernels<T>);
  GroupMassArgs<T> const& args_;
  KvView<T> const& kv_;
  std::int64_t head_kv_, len_, strips_, blocks_;
  float *q_, *logits_, *sums_, *bases_, *highest_, *panel_;
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
