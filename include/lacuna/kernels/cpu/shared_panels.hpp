#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "lacuna/core/dtype.hpp"
#include "lacuna/core/kv_view.hpp"
#include "lacuna/kernels/cpu/flash_kernels.hpp"

namespace lacuna::cpu {

/// The keys and values of one KV head in panels of 64, for all query blocks that read them: whoever first needs a panel
/// packs it, so keys that nobody selected are never touched. Who that was changes no bit.
template <Storage T>
class SharedPanels {
 public:
  static constexpr std::int64_t memory_floats(std::int64_t len, std::int64_t dim) {
    return panels(len) * 2 * panel_floats(dim) + round_up(panels(len), 16);
  }

  /// `used` or nothing happens. Narrow: panels that are read as units alone.
  SharedPanels(float* memory, KvView<T> const& kv, std::int64_t head_kv, bool used, bool narrow)
      : kv_(kv),
        head_kv_(head_kv),
        narrow_(narrow),
        len_(kv.length(head_kv)),
        floats_(memory),
        states_(used ? reinterpret_cast<std::int32_t*>(memory + panels(len_) * 2 * panel_floats(kv.dim)) : nullptr) {
    if (used) std::fill_n(states_, panels(len_), kEmpty);
  }

  bool narrow() const { return narrow_; }
  /// How many keys the head has: the last panel may be shorter.
  std::int64_t len() const { return len_; }

  /// Keys [64 p, 64 p + 64).
  Panel get(std::int64_t p) const {
    std::atomic_ref<std::int32_t> state(states_[p]);
    std::int32_t seen = state.load(std::memory_order_acquire);
    if (seen == kEmpty && state.compare_exchange_strong(seen, kBusy, std::memory_order_acquire)) {
      seen = pack(p) ? kFinite : kNotFinite;
      state.store(seen, std::memory_order_release);
      state.notify_all();
    }
    for (; seen == kBusy; seen = state.load(std::memory_order_acquire)) state.wait(kBusy, std::memory_order_acquire);
    return {keys(p), values(p), count(p), seen == kFinite};
  }

 private:
  static constexpr std::int32_t kEmpty = 0, kBusy = 1, kFinite = 2, kNotFinite = 3;

  static constexpr std::int64_t panels(std::int64_t len) { return (len + kPanelKeys - 1) / kPanelKeys; }
  float* keys(std::int64_t p) const { return floats_ + p * 2 * panel_floats(kv_.dim); }
  float* values(std::int64_t p) const { return keys(p) + panel_floats(kv_.dim); }
  std::int64_t count(std::int64_t p) const { return std::min(kPanelKeys, len_ - p * kPanelKeys); }

  bool pack(std::int64_t p) const {
    T const *key_rows[kPanelKeys], *value_rows[kPanelKeys];
    for (std::int64_t j = 0; j < count(p); ++j) {
      std::int64_t const offset = kv_.offset(head_kv_, p * kPanelKeys + j);
      key_rows[j] = kv_.k + offset;
      value_rows[j] = kv_.v + offset;
    }
    return LACUNA_FOR_TARGET(flash_kernels<T>)
        .pack_panel(key_rows, value_rows, count(p), kv_.dim, keys(p), values(p), narrow_);
  }

  KvView<T> const& kv_;
  std::int64_t head_kv_;
  bool narrow_;
  std::int64_t len_;
  float* floats_;         // [panels, keys and values, panel_floats]
  std::int32_t* states_;  // [panels]
};

}  // namespace lacuna::cpu
